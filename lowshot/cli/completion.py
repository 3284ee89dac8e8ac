"""`lowshot completion`."""

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes verbs, options and choices in SHELL.

    \b
      eval "$(lowshot completion bash)"      in ~/.bashrc
      eval "$(lowshot completion zsh)"       in ~/.zshrc
      lowshot completion fish | source       in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from lowshot.cli import app

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    completion = made(app, {}, "lowshot", "_LOWSHOT_COMPLETE")
    # Not `source()`, which for bash also runs bash to see its version.
    click.echo(completion.source_template % completion.source_vars())
