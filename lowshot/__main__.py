"""`python -m lowshot` is `lowshot`."""

from lowshot.cli import main

# Guarded because spawned workers import this module again.
if __name__ == "__main__":
    main()
