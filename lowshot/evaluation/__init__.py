"""Trials, embeddings, scores, results."""
