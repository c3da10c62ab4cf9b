# From a fresh clone to a report: `make quickstart`. No target needs anything before it; `make help` lists them.
#
# Variables, given as `make install NAME=value`:
#   PYTHON            the interpreter (default: the first of PYTHONS that is 3.11 or newer and has the venv module)
#   VENV              the environment's folder (default: .venv)
#   EXTRAS            which parts of the package to install (default: all that the quickstart and the tests need)
#   TORCH_INDEX       address of a package index to take torch from, such as the PyTorch project's CPU index
#   TORCH_FIND_LINKS  folder with a torch wheel to take instead
#   ARGS              options for the command behind a target: make quickstart ARGS="--fast --seed 1"
#   WORKERS           processes that run the tests (default: 2)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?=
PYTHONS := python3.13 python3.12 python3.11 python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= train,tasks,eval,dev
TORCH_INDEX ?=
TORCH_FIND_LINKS ?=
ARGS ?=
WORKERS ?= 2

comma := ,
STAMP := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt)
wants = $(findstring $(comma)$(1)$(comma),$(comma)$(EXTRAS)$(comma))

.PHONY: help install quickstart test check fix bench system hooks clean distclean

help: ## say what each target does
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done
	@echo '  Options for the command behind a target go into ARGS: make quickstart ARGS="--fast"'

install: $(STAMP) ## make .venv and put everything there, once

quickstart: $(STAMP) ## run the whole loop on a tiny model and write report.html
	@$(BIN)/teachable quickstart $(ARGS)

test: check ## run the checks, then the tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations=15 $(ARGS)

check: $(STAMP) ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(STAMP) ## mend what the linter and the formatter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## the data-first benchmark: accuracy against training tokens for every arm (about an hour)
	@$(BIN)/python benchmarks/data_first.py --out runs/bench-data-first $(ARGS)

system: ## install the Debian packages of the sandbox and of the browser tests (as root)
	@if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "make system: needs root and apt-get. Install bubblewrap (the sandbox of the verifier 'code') and chromium (browser tests) in your system's own way." >&2; exit 1; fi
	@apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bubblewrap chromium >/dev/null

hooks: $(STAMP) ## check every commit before it is made
	@$(BIN)/pre-commit install

clean: ## remove caches and build outputs
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove .venv as well
	@if [ -e $(VENV)/pyvenv.cfg ]; then rm -rf $(VENV); fi

# The environment. The checks come first, so that nobody waits minutes for a failure that was known at the start.
# torch is installed alone and without its dependencies where an index or folder is named: such places hold torch, and
# the second step takes the rest from the usual one.
$(STAMP): pyproject.toml constraints.txt
	@python=""; old=""; \
	for name in $(or $(PYTHON),$(PYTHONS)); do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    if "$$name" -c 'import ensurepip, venv' >/dev/null 2>&1; then python="$$name"; break; fi; \
	    old="$$name"; \
	  fi; \
	done; \
	if [ -z "$$python" ] && [ -n "$$old" ]; then \
	  echo "make install: $$old has no venv module. Install it (Debian, Ubuntu: apt-get install python3-venv) and run make again." >&2; exit 1; fi; \
	if [ -z "$$python" ]; then \
	  echo "make install: found no Python 3.11 or newer under $(or $(PYTHON),any of $(PYTHONS)). Install one, or name it: make install PYTHON=/path/to/python3." >&2; exit 1; fi; \
	if [ -n "$(call wants,tasks)" ]; then \
	  if ! command -v cc >/dev/null && ! command -v gcc >/dev/null && ! command -v clang >/dev/null; then \
	    echo "make install: found no C compiler, and pycosat, which reasoning-gym needs, is built from source. Install one (Debian, Ubuntu: apt-get install gcc), or leave the quickstart's tasks out: make install EXTRAS=train,dev." >&2; exit 1; fi; \
	  if ! "$$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; then \
	    echo "make install: $$python has no C headers (Python.h), and pycosat, which reasoning-gym needs, is built from source. Install them (Debian, Ubuntu: apt-get install python3-dev), or leave the quickstart's tasks out: make install EXTRAS=train,dev." >&2; exit 1; fi; \
	fi; \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "Making $(VENV) with $$("$$python" --version) ..."; "$$python" -m venv $(VENV); fi
	@if [ -n "$(call wants,train)" ]; then \
	  if [ -n "$(TORCH_FIND_LINKS)" ]; then \
	    echo "Installing $(TORCH) from $(TORCH_FIND_LINKS) ..."; \
	    $(PIP) --no-deps --no-index --find-links "$(TORCH_FIND_LINKS)" "$(TORCH)"; \
	  elif [ -n "$(TORCH_INDEX)" ]; then \
	    echo "Installing $(TORCH) from $(TORCH_INDEX) ..."; \
	    $(PIP) --no-deps --index-url "$(TORCH_INDEX)" "$(TORCH)"; \
	  else \
	    if [ "$$(uname -s)" = Linux ] && ! nvidia-smi -L >/dev/null 2>&1 && ! $(BIN)/python -c 'import torch' >/dev/null 2>&1; then \
	      echo "No NVIDIA GPU found. The usual build of torch brings several GB of GPU libraries; the CPU build is enough here:"; \
	      echo "  make install TORCH_INDEX=<address of the PyTorch project's CPU index>   or   TORCH_FIND_LINKS=<folder with its wheel>"; \
	      echo "Neither is named, so pip's own configuration decides."; \
	    fi; \
	    echo "Installing $(TORCH) ..."; \
	    $(PIP) "$(TORCH)"; \
	  fi; \
	fi
	@echo "Installing teachable[$(EXTRAS)] and what it needs (some minutes the first time) ..."
	@$(PIP) --editable ".[$(EXTRAS)]"
	@if [ "$$(uname -s)" = Linux ] && ! command -v bwrap >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing bubblewrap, the sandbox in which the verifier 'code' runs programs ..."; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bubblewrap; } >/dev/null 2>&1 || true; \
	  fi; \
	  if ! command -v bwrap >/dev/null; then \
	    echo "NOTE: bubblewrap is not here, so the verifier 'code' will refuse to run programs and its tests will be skipped. Install it (Debian, Ubuntu: apt-get install bubblewrap)." >&2; fi; \
	fi
	@touch $@
	@echo "Installed into $(VENV)."
