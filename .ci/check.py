"""Run checks by name, alike on every system: `python .ci/check.py lint types test`.

The Makefile, `.ci/run` and the workflow on GitHub all call this, so that each command stands in one place.
"""

import os
import subprocess
import sys
import time

# A file's tests run in one process, so that its fixtures are built once; tests/conftest.py puts long files first.
PYTEST = ("pytest", "--numprocesses", "auto", "--dist", "loadfile", "--no-loadscope-reorder")
CHECKS = {
    "lint": (("ruff", "check", "."), ("ruff", "format", "--check", ".")),
    "types": (("mypy",),),
    "test": (PYTEST,),
    # Without the tests that train, start processes or take more than a second.
    "test-fast": ((*PYTEST, "-m", "not slow"),),
    # Into build/site; a broken link fails.
    "docs": (("mkdocs", "build", "--strict", "--quiet"),),
}
# Tests run on all cores already: one thread for each process. They start many, and without bytecode each would compile
# all modules anew.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "NO_MKDOCS_2_WARNING": "1"}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


def main(names: list[str]) -> int:
    if not names or set(names) - set(CHECKS):
        print(f"name some of: {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    for name in names:
        started = time.monotonic()
        for module, *options in CHECKS[name]:
            done = subprocess.run([sys.executable, "-m", module, *options], env=ENVIRONMENT, check=False)
            if done.returncode:
                print(f"{name} failed: python -m {' '.join((module, *options))}", file=sys.stderr)
                return done.returncode
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
