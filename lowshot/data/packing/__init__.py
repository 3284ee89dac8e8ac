"""Decoded media in memory-mapped files."""
