# Two commands: `make demo` runs the balanced network and draws it, `make test` runs everything the project promises.
# Both make the virtual environment .venv when it is missing; PYTHON chooses the interpreter (3.10 or later).

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types docs clean

demo: .venv/.installed-demo
	@mkdir -p pictures
	@$(BIN)/snn run examples/balanced.snn --plot pictures/balanced.png
	@echo "The picture is at $(CURDIR)/pictures/balanced.png"

test: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

lint: .venv/.installed-test
	$(BIN)/ruff check .

types: .venv/.installed-test
	$(BIN)/mypy

docs: .venv/.installed-demo
	$(BIN)/python docs/make_diagnostics.py
	$(BIN)/python docs/make_rooms.py

clean:
	rm -rf .venv build dist pictures snnlang.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo "snnlang needs Python 3.10 or later; choose one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.installed-demo: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[plot,examples]'
	@touch $@

.venv/.installed-test: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ .venv/.installed-demo
