# What a person types. `make demo` and `make test` do their own set-up; nothing is installed outside .venv, except the
# Debian packages that the tests drive, where the user may install them (tools/debian-packages).

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# -qq: errors only. The messages of the set-up go to standard error, so that `make demo ARGS=--check` prints JSON alone.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
PACKAGE := $(PIP) --no-deps --no-build-isolation --editable .

.PHONY: help demo test check bench lock clean debian-packages

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: .venv/run.stamp ## Run the demo from a fresh checkout; ARGS=--check runs its journey once and prints JSON
	@$(BIN)/vaguemestre demo --data .demo $(ARGS)

test: .venv/all.stamp debian-packages ## Run every test from a fresh checkout; ARGS goes to pytest
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests $(ARGS)

check: .venv/all.stamp ## Format, lint, types, layering
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@git ls-files '*.py' | xargs wc -l | awk '$$1 > 450 && $$2 != "total" { print "Long, have a look: " $$2 " (" $$1 " lines)" }'

bench: .venv/all.stamp debian-packages ## Run the benchmarks: ARGS="smtp --json"
	@$(BIN)/python -m bench $(ARGS)

lock: ## Choose the newest versions that suit pyproject.toml, and write both lock files
	@PYTHON="$(PYTHON)" tools/lock

clean: ## Remove what the other targets made, the demo's data included
	rm -rf .venv .demo .bench build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

debian-packages:
	@tools/debian-packages <tools/debian-packages.list

# What runs, for the demo: a quarter of the disk space and half the time of everything.
.venv/run.stamp: runtime.lock pyproject.toml | .venv/bin/python
	@echo "Installing what the demo needs into .venv (a minute on a slow line)…" >&2
	@$(PIP) --require-hashes -r runtime.lock
	@$(PACKAGE)
	@touch $@

# Everything: what runs, and what tests, checks and measures it.
.venv/all.stamp: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing what the tests need into .venv (some minutes on a slow line)…" >&2
	@$(PIP) --require-hashes -r requirements.lock
	@$(PACKAGE)
	@touch .venv/run.stamp $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed. Say which: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || echo 'python3-venv to make .venv' | tools/debian-packages
	@echo "Making .venv…" >&2
	@$(PYTHON) -m venv .venv
