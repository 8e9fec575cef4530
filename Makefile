# What a contributor types. Every target sets up what it needs; a second run costs nothing.
#
#   make setup   .venv, packages, compiled codecs        make check   lint, format, strict types
#   make demo    one story through four protocols        make build   compile changed codecs
#   make test    all tests                               make clean   remove all of it
#   make fuzz    every decoder, for minutes              make chaos   storms of faults, ROUNDS=n SEED=s
#
# PYTHON chooses the interpreter (`make setup PYTHON=python3.12`); else the first on PATH that is new enough.

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup build demo test fuzz chaos check format clean

VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(NEW_ENOUGH)' 2>/dev/null && echo "$$python" && break; done)
CYTHON_SOURCES := setup.py $(shell find codecs -name '*.pyx' -o -name '*.pxd')
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# $(call need,test command,what to say when it fails): one line with the remedy, and nothing half done.
need = { $(1); } >/dev/null 2>&1 || { echo "setup: $(2)" >&2; exit 1; }
say = printf '  %-10s %s\n' $(1) "$(2)"

help:
	@sed -n '3,7s/^# \{0,1\}//p' Makefile

setup: $(VENV)/.codecs
	@:

build: setup

$(VENV)/.made:
	@$(call need,test -n "$(PYTHON)",Python 3.11 or newer is needed; install it or name it: make setup PYTHON=/path/to/python3)
	@$(call need,"$(PYTHON)" -c '$(NEW_ENOUGH)',$(PYTHON) is older than Python 3.11; name a newer one: make setup PYTHON=/path/to/python3)
	@$(call need,"$(PYTHON)" -c 'import ensurepip; import venv',$(PYTHON) has no venv module; install it (Debian: apt install python3-venv))
	@$(call need,"$(PYTHON)" -c 'import os; import sysconfig as s; open(os.path.join(s.get_path("include"), "Python.h"))',the Python headers are missing; install them (Debian: apt install python3-dev; Fedora: dnf install python3-devel))
	@$(call need,set -- $${CC:-$$("$(PYTHON)" -c 'import sysconfig as s; print(s.get_config_var("CC") or "cc")')} && command -v "$$1",no C compiler; install one (Debian: apt install gcc; macOS: xcode-select --install) or name it in CC)
	@$(call say,venv,$(VENV) on $(PYTHON))
	@"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.packages: pyproject.toml | $(VENV)/.made
	@$(call say,packages,from pyproject.toml; a minute or two the first time)
	@$(PIP) install 'setuptools>=77' 'cython>=3.1'
	@$(PIP) install --no-build-isolation --editable '.[dev]'
	@touch $@

$(VENV)/.codecs: $(CYTHON_SOURCES) $(VENV)/.packages
	@$(call say,codecs,compiling what changed)
	@mkdir -p build
	@$(BIN)/python setup.py --quiet build_ext --build-lib codecs >build/codecs.log 2>&1 || { cat build/codecs.log >&2; exit 1; }
	@touch $@

demo: setup
	@$(BIN)/fabric demo

test: setup
	@$(BIN)/python -m pytest

FUZZ ?= --guided

fuzz: setup
	@PYTHONPATH=tests:codecs $(BIN)/python -m fuzz.run $(FUZZ)

ROUNDS ?= 3
SEED ?= 1

chaos: setup
	@PYTHONPATH=tests:codecs $(BIN)/python -m chaos.run --rounds $(ROUNDS) --seed $(SEED) $(CHAOS)

check: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@echo 'check: lint, format and types are clean'

format: setup
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find codecs -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
