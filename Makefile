# Entry points for users and CI. Each target sets up .venv first, which is fast after the first time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Parallel test processes; modules are kept together, because their tests share fixtures.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadscope
# The versions that were tested; `make … CONSTRAINTS=/dev/null` takes the newest, also of what is installed.
CONSTRAINTS ?= constraints.txt
NEWEST = $(if $(filter /dev/null,$(CONSTRAINTS)),--upgrade --upgrade-strategy eager)
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) $(NEWEST)

# Python 3.11 is what pyproject.toml requires.
CHECK_PYTHON := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
WITH_ANOTHER_PYTHON := make $(or $(firstword $(MAKECMDGOALS)),demo) PYTHON=python3.12

.DEFAULT_GOAL := help
.PHONY: help demo serve test packages quick check coverage sanitize bench docs constraints clean python
# With -j, two processes of pip would change one environment.
.NOTPARALLEL:

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.base  ## Install the runtime (no torch) and classify the example photos.
	$(BIN)/levit predict examples/*.jpg
	@printf '\nTo try next (after "source $(BIN)/activate", levit alone is enough):\n'
	@printf '  %s\n' \
		'$(BIN)/levit predict examples/*.jpg --gallery gallery.html' \
		'$(BIN)/levit info' \
		'$(BIN)/python examples/classify.py examples/*.jpg'

serve: $(VENV)/.serve  ## Serve the embedded model, with a page for the browser: http://127.0.0.1:8000 (no torch).
	$(BIN)/levit serve

test: $(VENV)/.dev packages  ## Install everything and run all tests (20 to 40 minutes on 2 cores, after a download of 4 GB; 7.5 GB on disk).
	$(PYTEST)

quick: $(VENV)/.dev  ## Run the fast tests, for every change.
	$(PYTEST) -m "not slow"

check: $(VENV)/.dev  ## Lint, formatting, length limits, types and import rules.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python .ci/check_limits.py
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(VENV)/.dev packages  ## Measure line and branch coverage of all tests, subprocesses included: coverage.txt.
	$(PYTEST) --cov --cov-report=
	$(BIN)/coverage report > coverage.txt
	tail -n 1 coverage.txt

sanitize: $(VENV)/.base  ## Run the native engine under sanitizers: 100,000 mutated model files, shared threads (g++ or clang++).
	$(BIN)/python native/sanitize/run.py

bench: $(VENV)/.dev  ## Measure accuracy and speed, side by side with other implementations (about 45 minutes).
	$(if $(wildcard ../shared/data),$(BIN)/python benchmarks/embedded_accuracy.py)
	$(BIN)/python benchmarks/first_prediction.py
	$(BIN)/python benchmarks/build_graph.py
	$(BIN)/python benchmarks/attention.py
	$(BIN)/python benchmarks/operation_times.py
	$(BIN)/python benchmarks/native.py levit-128s levit-192 levit-256 levit-384
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/training.py

docs: $(VENV)/.docs  ## Build the documentation site into site/.
	$(BIN)/mkdocs build --strict

constraints: CONSTRAINTS = /dev/null
constraints: $(VENV)/.dev $(VENV)/.docs  ## Write the newest versions to constraints.txt; after `make test CONSTRAINTS=/dev/null`.
	{ sed '/^[^#]/d' constraints.txt; $(BIN)/pip freeze --exclude-editable | grep -vE '^(nvidia|cuda)-'; } > .constraints
	mv .constraints constraints.txt

clean:  ## Remove everything that these targets create.
	rm -rf $(VENV) site dist build coverage.txt .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf src/levit/runtime/levit_native.so src/levit/runtime/levit_native.txt gallery.html
	find . -name __pycache__ -prune -exec rm -rf {} +

# As root, such as in a container; otherwise it only says what is missing.
packages:
	@.ci/install_packages || true

# Checked each time, because pip's own message comes late and names no way out.
python:
	@[ -x $(BIN)/python ] || $(PYTHON) $(CHECK_PYTHON) || \
		{ echo '$(PYTHON) is not Python 3.11 or later: $(WITH_ANOTHER_PYTHON)' >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
	@$(BIN)/python $(CHECK_PYTHON) || \
		{ echo '$(BIN)/python is not Python 3.11 or later: rm -r $(VENV); $(WITH_ANOTHER_PYTHON)' >&2; exit 1; }

# The constraints that are used; the file changes only where they do.
$(VENV)/.constraints: python
	@echo '$(CONSTRAINTS)' | cmp -s - $@ || echo '$(CONSTRAINTS)' > $@

# A stamp in .venv marks an installed set of extras. What is changed here, and other constraints, install it again;
# the installation compiles the native engine.
INSTALLED := pyproject.toml hatch_build.py $(wildcard native/*.*) $(filter-out /dev/null,$(CONSTRAINTS)) $(VENV)/.constraints

$(VENV)/.base: $(INSTALLED)
	$(PIP) --editable .
	touch $@

$(VENV)/.serve: $(INSTALLED)
	$(PIP) --editable ".[serve]"
	touch $@ $(VENV)/.base

$(VENV)/.dev: $(INSTALLED)
	$(PIP) --editable ".[dev]"
	touch $@ $(VENV)/.base $(VENV)/.serve

$(VENV)/.docs: $(INSTALLED)
	$(PIP) --editable ".[docs]"
	touch $@
