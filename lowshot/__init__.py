"""lowshot: voice-face representations learned without identity labels, adapted with few, measured honestly."""

__version__ = "0.1.0"
