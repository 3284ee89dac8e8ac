"""Messages in the words of the command line: flags instead of arguments."""

import re

# Arguments of the Python functions whose flag has another name.
_FLAGS = {"settings": "--set", "start": "--from", "formats": "--format", "fmt": "--format", "import_module": "--import"}
# Every other argument that messages name; its flag is its own name with hyphens.
_ARGUMENTS = frozenset(
    (
        "adaptations", "column", "config", "data", "embeddings", "faces", "fractions", "jobs", "labels", "max_seconds",
        "meta", "method", "methods", "min_seconds", "model", "out", "preset", "protocol", "reference", "resume", "root",
        "scores", "seed", "seeds", "size", "skip_missing", "skip_unreadable", "split", "splits", "strategy", "subset",
        "subset_seed", "subset_seeds", "test", "trials", "trust_paths", "unit", "val", "value", "variant", "voices",
        "within", "write_clean",
    )
)  # fmt: skip
_NAMED = re.compile(r"`([a-z_]+)(=[^`]*)?`")


def in_flags(message: str) -> str:
    """Replace the arguments that a message names in backticks by flags.

    Args:
        message: such as "`out` runs/a: is a file; name a directory", or with a value, such as "`labels=0.1`". The value
            True becomes the flag alone, and False its opposite, such as `--no-identities`.

    Returns:
        The same with flags, such as "--out runs/a: is a file; name a directory".
    """

    from lowshot.importers.registry import IMPORTERS

    # Importers of other modules have arguments of their own.
    imports = {option.name for importer in IMPORTERS.values() for option in importer.options if not option.positional}

    def flag(found: re.Match[str]) -> str:
        name, value = found[1], found[2] or ""
        if name not in _FLAGS and name not in _ARGUMENTS | imports:
            return found[0]
        words = name.replace("_", "-")
        if value in ("=True", "=False"):
            return f"--{words}" if value == "=True" else f"--no-{words}"
        return _FLAGS.get(name, f"--{words}") + value.replace("=", " ", 1)

    return _NAMED.sub(flag, message)
