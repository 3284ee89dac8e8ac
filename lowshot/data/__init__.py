"""Everything between the disk and a batch."""
