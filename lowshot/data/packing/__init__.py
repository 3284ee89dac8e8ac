"""Decoded media in one memory-mapped file per modality."""
