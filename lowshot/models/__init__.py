"""The two towers, their weights on disk, and the loaded model."""
