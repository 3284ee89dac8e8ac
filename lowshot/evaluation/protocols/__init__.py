"""Protocols: one file each, ours and a user's alike; `registry` knows them by name."""
