"""`lowshot data import`."""

import click

from lowshot.cli.data_import_videos import videos


@click.group("import")
def command() -> None:
    """Make a manifest of data as they lie on disk."""


command.add_command(videos)
