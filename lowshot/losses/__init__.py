"""One objective per file: pure functions of embeddings."""
