# `make demo` and `make test` set up all they need in .venv and then run.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-seeds test test-fast lint docs clean

demo: .venv/installed
	$(BIN)/lowshot demo

# Three training seeds: the table `demo` in docs/results.md. About twenty minutes on two cores; called again after a stop, it goes on.
demo-seeds: .venv/installed
	$(BIN)/lowshot demo --seeds 3 --out runs/demo-seeds

test: .venv/installed-dev
	$(BIN)/python .ci/check.py lint types test

# Without the tests that train, start processes or take more than a second.
test-fast: .venv/installed-dev
	$(BIN)/python .ci/check.py test-fast

lint: .venv/installed-dev
	$(BIN)/python .ci/check.py lint types

# The docs site in build/site; a broken link fails.
docs: .venv/installed-docs
	$(BIN)/python .ci/check.py docs

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
