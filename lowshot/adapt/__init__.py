"""Learning from few labelled identities: subsets, fine-tuning, probes."""
