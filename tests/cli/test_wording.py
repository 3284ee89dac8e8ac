"""Arguments of Python become flags where a person reads them on the command line."""

import pytest

from lowshot.cli.wording import in_flags


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`out` runs/a: is a file; name a directory", "--out runs/a: is a file; name a directory"),
        ("give `labels=0.1`, or more", "give --labels 0.1, or more"),
        ("`trust_paths` allows it", "--trust-paths allows it"),
        ("`start` scratch: has no weights", "--from scratch: has no weights"),
        ("run `lowshot pretrain` first", "run `lowshot pretrain` first"),
        ("`identities=False` reads it the other way", "--no-identities reads it the other way"),
        ("as in `value=split:dev=train`", "as in --value split:dev=train"),
        ("no column `identity`", "no column `identity`"),
    ],
)
def test_arguments_become_flags_and_nothing_else_does(message, shown):
    assert in_flags(message) == shown
