"""What frozen embeddings of one modality know: probes within it."""
