"""`lowshot completion`."""

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the shell-completion script.

    It completes verbs, options and choices in SHELL. To load it in each new shell, add one line:

    \b
      eval "$(lowshot completion bash)"      in ~/.bashrc
      eval "$(lowshot completion zsh)"       in ~/.zshrc
      lowshot completion fish | source       in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from lowshot.cli import app

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell}; take bash, zsh or fish")
    completion = made(app, {}, "lowshot", "_LOWSHOT_COMPLETE")
    # Not `source()`: it runs bash to check its version.
    click.echo(completion.source_template % completion.source_vars())
