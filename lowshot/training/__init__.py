"""What every training loop shares: loop, schedule, checkpoint, seeding."""
