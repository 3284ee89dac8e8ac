"""Comparisons: many runs, measured on the same trials."""
