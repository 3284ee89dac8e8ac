"""Probes of frozen embeddings within one modality."""
