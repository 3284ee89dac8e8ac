"""Manifests from media as they lie on disk: one file per layout."""
