# `make demo` and `make test` set up all they need in .venv and then run.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-seeds test test-fast lint docs clean

demo: .venv/installed
	$(BIN)/lowshot demo

# Three training seeds: the table `demo` in docs/results.md. About twenty minutes on two cores; called again after a stop, it goes on.
demo-seeds: .venv/installed
	$(BIN)/lowshot demo --seeds 3 --out runs/demo-seeds

# One thread for each process: tests run on all cores already.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadgroup

test: lint
	$(PYTEST)

# Without the tests that train or start processes.
test-fast: .venv/installed-dev
	$(PYTEST) -m "not slow"

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The docs site in build/site; a broken link fails.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

clean:
	rm -rf .venv build dist runs
