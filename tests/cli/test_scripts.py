"""What a script relies on: `--json` on every verb, one document on standard output, and completion."""

import json
import os
import subprocess
import sys

import click
import pytest
import yaml
from click.shell_completion import BashComplete

from lowshot.cli import app


def leaves(group=app, path=()):
    """Every verb, by the words it is called with."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_verb_takes_json():
    found = {path for path, command in leaves() if "--json" not in {o for p in command.params for o in p.opts}}
    # What it prints is for a shell to run.
    assert found == {("completion",)}


def test_lists_and_files_are_said_as_json(lowshot, world, tmp_path):
    def said(*words):
        code, out, err = lowshot(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    listed = said("protocols", "list")
    assert list(listed["protocols"]) == ["verification", "matching", "retrieval", "enrolment"]
    assert all(subset["lists"] for subset in listed["subsets"])
    assert said("protocols", "show", "matching") == yaml.safe_load(lowshot("protocols", "show", "matching")[1])
    rows = said("protocols", "subsets", "--data", world, "--labels", 0.5)
    assert ["\t".join(row) for row in rows] == lowshot("protocols", "subsets", "--data", world, "--labels", 0.5)[
        1
    ].splitlines()
    written = said("protocols", "subsets", "--data", world, "--fractions", "0.5", "--out", tmp_path / "subsets")
    assert {str(path) for path in (tmp_path / "subsets").iterdir()} == set(written["files"])
    built = said("protocols", "build", "--data", world, "--out", tmp_path / "lists")["files"]
    assert {str(path) for path in (tmp_path / "lists").rglob("*") if path.is_file()} == set(built)
    imported = said("data", "import", "csv", world / "manifest.csv", "--out", tmp_path / "manifest.csv")
    described = said("data", "describe", tmp_path / "manifest.csv")
    assert imported["splits"]["test"] == described["splits"]["test"]
    assert (imported["absolute_paths"], imported["skipped"], imported["report"]) == (True, {}, None)
    packed = said("data", "pack", world, "--out", tmp_path / "packed", "--faces", "jpeg", "--jobs", 1)
    manifest = (world / "manifest.csv").read_text().splitlines()
    assert (packed["files"], packed["skipped"]) == (len(manifest) - 1, 0)
    assert said("data", "check", tmp_path / "packed")["faults"] == {}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_clicks_own(lowshot, shell):
    code, out, _ = lowshot("completion", shell)
    assert (code, "_LOWSHOT_COMPLETE" in out, f"{shell}_complete" in out) == (0, True, True)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["eva"], {"evaluate"}),
        (["data", "im"], {"import"}),
        (["evaluate", "--proto"], {"--protocol"}),
        (["evaluate", "--protocol", "ma"], {"matching"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
    ],
)
def test_words_are_completed(typed, expected):
    found = BashComplete(app, {}, "lowshot", "_LOWSHOT_COMPLETE").get_completions(typed[:-1], typed[-1])
    assert {item.value for item in found} == expected


def test_a_shell_is_answered_without_torch():
    code = "import sys; sys.argv = ['lowshot']\nimport atexit\nfrom lowshot.cli import main\n"
    code += "atexit.register(lambda: print('torch' in sys.modules))\nmain()"
    asked = {"_LOWSHOT_COMPLETE": "bash_complete", "COMP_WORDS": "lowshot pre", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )
    assert done.stdout.split("\n")[:2] == ["plain,pretrain", "False"]
