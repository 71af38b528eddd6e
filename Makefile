# Two commands: `make demo` shows it at work, `make test` runs every test. `make help` lists the rest.

# The first Python that is new enough; or name one: make PYTHON=/path/to/python3
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help install demo test unit simulation fuzz coverage integration full check format lint types contracts bench bench-peers chaos docs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## a virtual environment in .venv with everything the project needs

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "scaler needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -m compileall -q scaler
	@touch $@

demo: $(STAMP) ## real work on real input: a census of Python's standard library
	@$(BIN)/python -m examples.stdlib_census

test: $(STAMP) ## every test, several at a time but for those that need the machine to themselves
	$(PYTEST) -n auto --maxprocesses 4 --dist worksteal -m "not alone and not full" tests
	$(PYTEST) -m "alone and not full" tests

unit: $(STAMP) ## the tests of single modules, and the rules of the house
	$(PYTEST) tests/unit tests/house

simulation: $(STAMP) ## thousands of seeded histories of the whole system in one thread
	$(PYTEST) tests/simulation

coverage: $(STAMP) ## the branches of the pure modules that their own unit tests do not reach
	$(PYTEST) tests/unit --cov=scaler.core --cov=scaler.ledger --cov=scaler.link --cov=scaler.protocol \
		--cov=scaler.worker --cov-branch --cov-report=term-missing:skip-covered

integration: $(STAMP) ## the tests that start processes
	$(PYTEST) tests/integration tests/docs

full: $(STAMP) ## the tests that are too large for every run, in full size
	$(PYTEST) -m full tests

fuzz: $(STAMP) ## as simulation, with new seeds until stopped; prints a failing one
	$(BIN)/python -m tests.simulation

check: lint types contracts ## format, style, types and import contracts; changes nothing

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/pyright

contracts: $(STAMP)
	$(BIN)/lint-imports

format: $(STAMP) ## rewrite the source in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## the speed table, side by side with the peers that are installed; ARGS are passed on
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(STAMP) ## install the peers, each into a virtual environment of its own
	$(BIN)/python -m benchmarks.peers

chaos: $(STAMP) ## kills, pauses, cuts and floods beside work that is verified, each with its bars; ARGS are passed on
	$(BIN)/python -m benchmarks.chaos $(ARGS)

docs: $(STAMP) ## write the tables of docs/architecture.md anew from the code
	$(BIN)/python -m docs.generate

clean: ## remove what was made here, the virtual environment too
	rm -rf $(VENV) build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
