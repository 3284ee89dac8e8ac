"""The command line; verbs are imported when called, for a fast `--help`."""

import importlib
import re
import sys
import warnings
from typing import TextIO

import click

from lowshot import __version__
from lowshot.cli.wording import in_flags
from lowshot.errors import LowshotError, RenamedSetting

VERBS = {
    "demo": "Run the whole job on embedded data and write a report.",
    "pretrain": "Learn a voice-face representation without identity labels.",
    "finetune": "Adapt a model with a few labelled identities: all weights.",
    "probe": "Adapt a model with a few labelled identities: one linear map per tower.",
    "embed": "Turn a dataset into embeddings.",
    "evaluate": "Score a model by verification, matching and retrieval.",
    "match": "Rank faces by similarity to a voice, or voices to a face.",
    "compare": "Compare methods at several label fractions over seeds.",
    "report": "Make plots and one page from results.",
    "data": "Make, import, check, describe and pack datasets.",
    "protocols": "List and show protocols; write and audit trial lists.",
    "models": "List and show models; convert, calibrate and export them.",
    "completion": "Print the shell-completion script.",
    "doctor": "Check this machine: versions, devices, extras.",
}


# Options that a person may have meant by a word without an option.
_NAMED_BY = {"--data": "data", "--model": "a model", "--from": "a model"}


class LazyGroup(click.Group):
    """A group that imports a verb when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(f"lowshot.cli.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"verbs are {', '.join(VERBS)}"
            raise click.UsageError(f"no such verb '{args[0]}'; {hint}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _import_modules(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> None:
    from lowshot.extend import import_module

    # Eager, so that the help of a verb knows them too. Shell completion imports nothing: it must not show errors.
    for name in () if context.resilient_parsing else names:
        import_module(name)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lowshot")
@click.option(
    "--import",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_import_modules,
    metavar="MODULE",
    envvar="LOWSHOT_IMPORT",
    show_envvar=True,
    help="A module with methods, towers, protocols or importers of your own; may be repeated.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def app(debug: bool) -> None:
    """Learn voice-face representations without labels, adapt them, and measure them.

    Three commands do the job on embedded data, one after the other:

    \b
      lowshot pretrain
      lowshot finetune --labels 0.1
      lowshot evaluate --protocol matching
    """


def main() -> None:
    """Run the command line; an error becomes one line and exit code."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, RenamedSetting):
                _say(f"warning: {in_flags(str(message))}")
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        _run()


def _run() -> None:
    debug = "--debug" in sys.argv
    try:
        app(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _say(_with_hint(error))
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        sys.exit(130)
    except LowshotError as error:
        if debug:
            raise
        _say(in_flags(str(error)))
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        _say(f"{error.filename or 'a file'}: {error.strerror or error}")
        sys.exit(1)
    except Exception as error:
        # An error of a library (a full GPU, say) or a bug of lowshot.
        if debug:
            raise
        _say(f"{type(error).__name__}: {error} (`lowshot --debug ...` shows the traceback)")
        sys.exit(1)


def _with_hint(error: click.ClickException) -> str:
    """The parser's message, with what the person probably meant."""
    context = getattr(error, "ctx", None)
    options = {name for parameter in context.command.params for name in parameter.opts} if context else set()
    if isinstance(error, click.NoSuchOption):
        meant = _other_names(error.option_name, options, context.command.name if context else None)
        return f"{error.message.rstrip('.')}; did you mean {meant}?" if meant else error.format_message()
    message = error.format_message()
    share = re.match(r"'(\d+(?:\.\d+)?) ?%' is not a valid float", error.message)
    if isinstance(error, click.BadParameter) and error.param and share and 0 < float(share[1]) <= 100:
        return f"{message.rstrip('.')}; did you mean '{error.param.opts[0]} {float(share[1]) / 100:g}'?"
    named_by = [f"{what} by {name}" for name, what in _NAMED_BY.items() if name in options]
    if message.startswith("Got unexpected extra argument") and named_by:
        return f"{message}; name {' or '.join(named_by)}"
    return message


def _other_names(option: str, known: set[str], verb: str | None) -> str:
    """The verb's own name for an option that it lacks, or "".

    It is the model's other option, or a setting.
    """
    from lowshot.config import known_keys

    if (other := {"--model": "--from", "--from": "--model"}.get(option)) in known:
        return f"'{other}'"
    setting = option.lstrip("-").replace("-", "_")
    own = {"finetune": {"adapt"}, "probe": {"adapt"}, "evaluate": {"evaluate"}, "embed": {"evaluate"}}.get(verb or "")
    others = {"adapt", "evaluate", "labels"} if verb == "pretrain" else set()
    names = {f"probe_{setting}"} if verb == "probe" else {setting}
    keys = [
        key
        for key in (known_keys({}) if "--set" in known else [])
        if key.rsplit(".", 1)[-1] in names
        and (own is None or key.split(".")[0] in own)
        and key.split(".")[0] not in others
    ]
    return " or ".join(f"'--set {key}=VALUE'" for key in keys)


def _say(message: str) -> None:
    click.echo(f"lowshot: {' '.join(message.split())}", err=True)
