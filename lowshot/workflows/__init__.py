"""One function per verb, from settings to a run directory.

`lowshot.api` and `lowshot.cli` both call these functions.
"""
