"""Training methods: each file assembles losses, memory and clusters into one training method."""
