"""What `--method` names: each file assembles losses, memory and clusters into one training method."""
