"""The two towers, their weights on disk, and the model that a person holds."""
