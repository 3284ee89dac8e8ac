"""Adaptation to few labelled identities: subsets, fine-tuning, probes."""
