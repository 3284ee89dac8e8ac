"""Messages in the words of the command line: workflows name arguments, a person here types flags."""

import re

# Arguments of the Python functions whose flag has another name than theirs.
_FLAGS = {"settings": "--set", "start": "--from", "fmt": "--format"}
# Every other argument that messages name; its flag is its own name with hyphens.
_ARGUMENTS = frozenset(
    (
        "adaptations", "column", "config", "data", "embeddings", "faces", "fractions", "jobs", "labels", "max_seconds",
        "meta", "method", "methods", "min_seconds", "model", "out", "preset", "protocol", "reference", "resume", "root",
        "scores", "seed", "seeds", "size", "skip_missing", "split", "splits", "strategy", "subset", "subset_seed",
        "subset_seeds", "test", "trials", "trust_paths", "unit", "val", "value", "variant", "voices", "within",
        "write_clean",
    )
)  # fmt: skip
_NAMED = re.compile(r"`([a-z_]+)(=[^`]*)?`")


def in_flags(message: str) -> str:
    """Put arguments that a message names in backticks as the flags that a person types.

    Args:
        message: as in "`out` runs/a: is a file; name a directory", or with a value, as in "`labels=0.1`".

    Returns:
        The same with flags, as in "--out runs/a: is a file; name a directory".
    """

    def flag(found: re.Match[str]) -> str:
        name, value = found[1], found[2] or ""
        if name in _FLAGS:
            return _FLAGS[name] + value.replace("=", " ", 1)
        if name in _ARGUMENTS:
            return f"--{name.replace('_', '-')}" + value.replace("=", " ", 1)
        return found[0]

    return _NAMED.sub(flag, message)
