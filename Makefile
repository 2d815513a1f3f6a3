# Everything runs in .venv, which is made from the first Python that is new enough; nothing needs to be set up by hand.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
DEMO_FLAGS := $(if $(CI),--exit)

.DEFAULT_GOAL := help
.PHONY: help demo demo-tuning extras test long check format bench clean

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: .venv/core.stamp ## Grade the example rows and leave the server running (CI=1: end after the result)
	@$(BIN)/regrade demo --data-dir .demo-data $(DEMO_FLAGS)

demo-tuning: .venv/train.stamp ## Train a tiny model, supervised and by reinforcement, and show in evals what it learned
	@$(BIN)/regrade demo-tuning --data-dir .demo-tuning-data $(DEMO_FLAGS)

extras: .venv/train.stamp ## Install what fine-tuning and local models need; then `make test` tests them too
	@$(PIP) --editable '.[wandb]'

# Tests wait as much as they compute, so two processors bear three of them. Each takes a part of the folders, whose
# servers are then started once, and in the end what others have left.
test: .venv/dev.stamp ## Run the tests
	@$(BIN)/python -m pytest -n 3 --dist worksteal

long: .venv/dev.stamp ## Run the tests that take minutes
	@REGRADE_LONG=1 $(BIN)/python -m pytest -m long

check: .venv/dev.stamp ## Check format, lint, types, layers and dependencies
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry src

format: .venv/dev.stamp ## Format the code and mend what lint can mend
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: .venv/dev.stamp ## Run the benchmarks, each beside its floor
	@set -e; for script in bench/[a-z]*.py; do $(BIN)/python $$script; done

clean: ## Remove what these commands made
	@rm -rf .venv .demo-data .demo-tuning-data .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Regrade needs Python 3.11 or newer, and none was found. Try: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv

.venv/core.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing Regrade into .venv"
	@$(PIP) --editable .
	@touch $@

.venv/train.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing Regrade with what trains and runs models into .venv; this takes some minutes"
	@$(PIP) --editable '.[train,local]'
	@touch .venv/core.stamp $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing Regrade and its development tools into .venv"
	@$(PIP) --editable '.[dev]'
	@touch .venv/core.stamp $@
