"""Encoders, the two towers, and their weights on disk."""
