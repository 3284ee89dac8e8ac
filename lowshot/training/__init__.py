"""Training loop, schedule, checkpoints and validation, shared by all methods."""
