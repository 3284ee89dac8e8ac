"""Datasets: manifests, media and vectors, from the disk to a batch."""
