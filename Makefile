# Everything a developer needs. `make help` lists it.
#
# Variables that can be set on the command line or in the environment:
#   PYTHON   the interpreter that makes the virtual environment (3.11 or later)
#   VENV     where the virtual environment lies
#   TORCH    the requirement by which PyTorch is installed for training and tests; running a node
#            needs no PyTorch. Where the plain package brings GPU libraries that you do not want,
#            name PyTorch's own CPU wheel index in PIP_EXTRA_INDEX_URL: its `+cpu` build wins.
#   TESTS    what `make test` runs
#   GPU_PYTHON  the interpreter of `make gpu-check`, which has torch, and TensorRT if it can
#   MUTANTS  areas of `make mutants` and its options; all of them, if empty
#   DEMO     further arguments of `make demo`, such as DEMO="--pacs 10.1.2.9:104:PACS"

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
TESTS ?= tests
DEMO ?=
MUTANTS ?=
GPU_PYTHON ?= $(if $(wildcard $(VENV)/bin/python),$(VENV)/bin/python,$(PYTHON))
PYTEST_FLAGS ?= -q -n logical --maxprocesses 4 --dist loadfile
# An environment in memory takes about 1 GB.
FORMS_FLAGS ?= -q -n logical --maxprocesses 2 --dist loadfile

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

## demo: install what running a node needs, then send, denoise and deliver real images on loopback
.PHONY: demo
demo: $(VENV)/.installed-runtime
	@$(BIN)/dicom-node demo $(DEMO)

## test: install what the tests need, system packages included where that is allowed, and run them
.PHONY: test
test: $(VENV)/.installed-develop
	@tests/system-packages.sh
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) $(TESTS)

## coverage: unit and property tests, and which code none of them runs; fails below the floor
.PHONY: coverage
coverage: $(VENV)/.installed-develop
	@tests/system-packages.sh
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) --cov --cov-report term tests/unit tests/property

## forms: install every documented form into an empty environment and do a study in it
.PHONY: forms
forms: $(VENV)/.installed-develop
	@tests/system-packages.sh
	@FORMS=1 $(BIN)/python -m pytest $(FORMS_FLAGS) tests/forms

## lint: style, formatting, spelling, and the direction of imports
.PHONY: lint
lint: $(VENV)/.installed-develop
	@$(BIN)/ruff check .
	@$(BIN)/ruff check --quiet --preview --select DOC102,DOC202,DOC403 .  # docstrings name what is there
	@$(BIN)/ruff format --check .
	@$(BIN)/typos
	@$(BIN)/lint-imports

## typecheck: mypy, strict
.PHONY: typecheck
typecheck: $(VENV)/.installed-develop
	@$(BIN)/mypy

## mutants: change the code in small ways and see whether a test notices; MUTANTS=noise takes one area
.PHONY: mutants
mutants: $(VENV)/.installed-develop
	@$(BIN)/python -m tests.mutants $(MUTANTS)

## bench: every benchmark in its quick form; docs/performance.md has the full runs and their commands
.PHONY: bench
bench: $(VENV)/.installed-develop
	@tests/system-packages.sh
	@shopt -s nullglob; \
	for benchmark in benchmarks/[a-z]*.py; do \
	    echo "== $$benchmark --quick"; \
	    $(BIN)/python "$$benchmark" --quick; \
	done

## trial: images flow and fault after fault is done, in the short form; docs/trial.md has the full run
.PHONY: trial
trial: $(VENV)/.installed-develop
	@tests/system-packages.sh
	@$(BIN)/python -m tests.chaos --quick

## gpu-check: tests, parity and rates on this machine's GPU, in under ten minutes; installs nothing
.PHONY: gpu-check
gpu-check:
	@$(GPU_PYTHON) -m benchmarks.gpu

## docs: build the documentation into site/, failing on any warning
.PHONY: docs
docs: $(VENV)/.installed-develop
	@$(BIN)/python -m docs.generate --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

## docs-generate: write the reference pages that are made from the code
.PHONY: docs-generate
docs-generate: $(VENV)/.installed-develop
	@$(BIN)/python -m docs.generate

## install: everything a contributor needs, and the commit hooks
.PHONY: install
install: $(VENV)/.installed-develop
	@$(BIN)/pre-commit install

## clean: what was built; the virtual environment stays
.PHONY: clean
clean:
	@rm -rf site build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

## help: this list
.PHONY: help
help:
	@sed -n 's/^## //p' $(firstword $(MAKEFILE_LIST)) | awk -F': ' '{printf "  make %-14s %s\n", $$1, $$2}'

# A stamp beside the packages says that they are installed as pyproject.toml has them now, so that
# a second run starts at once. The project itself is installed in place: edits need no install.
$(VENV)/.created:
	@deploy/create-venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

$(VENV)/.installed-runtime: pyproject.toml $(VENV)/.created
	@echo "Installing the node into $(VENV) (once; a few minutes on a slow line) ..."
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-develop: pyproject.toml $(VENV)/.created
	@echo "Installing what tests, training and checks need into $(VENV) (once) ..."
	@$(PIP) install "$(TORCH)"
	@$(PIP) install --editable '.[test,dev,train,postgresql,remote]'
	@touch $@ $(VENV)/.installed-runtime
