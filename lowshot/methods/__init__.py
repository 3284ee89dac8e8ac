"""Training methods, one per file, made of losses, memory and clusters."""
