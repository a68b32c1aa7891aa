# The only entry points that people and CI use. Each does its own set-up, and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test quick check bench docs clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.base  ## Install the light runtime (no torch) and classify the example photos.
	$(BIN)/levit predict examples

test: $(VENV)/.dev  ## Install everything and run all tests (18 to 25 minutes on 2 cores, after a download of 4 GB; 7 GB on disk).
	$(BIN)/python -m pytest

quick: $(VENV)/.dev  ## Run the tests that a developer runs all day.
	$(BIN)/python -m pytest -m "not slow"

check: $(VENV)/.dev  ## Lint, formatting, length limits, types and import rules.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python .ci/check_limits.py
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## Measure accuracy and speed here, side by side with everybody else (about 45 minutes).
	$(BIN)/python benchmarks/embedded_accuracy.py
	$(BIN)/python benchmarks/first_answer.py
	$(BIN)/python benchmarks/build_graph.py
	$(BIN)/python benchmarks/attention.py
	$(BIN)/python benchmarks/where_time_goes.py
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/training.py

docs: $(VENV)/.docs  ## Build the documentation site into site/.
	$(BIN)/mkdocs build --strict

clean:  ## Remove everything that make has made.
	rm -rf $(VENV) site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Where an environment is whole, a stamp in it says so; a changed pyproject.toml renews it.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable ".[dev]"
	touch $@ $(VENV)/.base

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable ".[docs]"
	touch $@
