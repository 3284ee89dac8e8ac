"""Manifests made of data as they lie on disk."""
