"""Errors a person can act on: one line each, with the exit code a script can rely on."""


class LowshotError(Exception):
    """Base of every error that lowshot reports as one line instead of a traceback."""

    exit_code = 1


class RequestError(LowshotError):
    """The request cannot be carried out as written: an unknown key, a missing file, bad data. Exit code 2."""

    exit_code = 2


class RunError(LowshotError):
    """The request was right, but the run failed: a full disk, a loss that is not a number. Exit code 1."""


class RenamedSetting(FutureWarning):
    """A setting or a value is given by its old name. The next version will not read it."""


def reason(error: Exception) -> str:
    """What a library's or the system's error says, on one line and without the path that some of them repeat."""
    said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(said).split()).rstrip(".") or type(error).__name__
