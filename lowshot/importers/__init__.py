"""Manifests of media as they lie on disk: one file per layout, and a registry of all importers."""
