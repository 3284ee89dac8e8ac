"""Check a dataset before a run: find all issues at once."""
