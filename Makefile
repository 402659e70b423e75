# Either `make demo` or `make test` may be the first command on a fresh clone: both set .venv up.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint docs experiments-check clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# `make demo PUBLISHED=no` downloads no published encoder (a package of 84 MB), and compares with none.
PUBLISHED ?= yes
demo: $(VENV)/.demo ## pretrain on film reviews, look at what was learnt, fine-tune (five to eight minutes)
	$(BIN)/python -m experiments.demo.demo $(if $(filter no,$(PUBLISHED)),--without-published)

# Two more than cores: tests of lost processes mostly wait.
TEST_PROCESSES ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)

# Compiled files are kept, whatever the environment says: several processes read the same tests.
test: $(VENV)/.dev ## run all tests, one file per process at a time
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile \
	  --no-loadscope-reorder

lint: $(VENV)/.dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs ## build the documentation as a site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

experiments-check: $(VENV)/.dev ## check that the tables of experiments/ are those of their results
	$(BIN)/python -m experiments.check

clean: ## remove .venv; data and runs stay
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "clozekit needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo not found). Try: make PYTHON=python3.12 demo" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The stamps are newer than these files only after a whole install.
$(VENV)/.%: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[$*]'
	@# Real weights for tests. Only two files of this package are read, so nothing that it needs is installed.
	if [[ '$*' == dev ]]; then $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps sapiens==1.0.5; fi
	@# pip compiles on one core. Packages have files that are not meant to compile.
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@
