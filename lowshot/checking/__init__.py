"""Looking through a dataset before hours are spent on it: every problem of every kind, all at once."""
