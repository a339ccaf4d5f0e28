# Everything runs in a virtual environment of its own; nothing but Python (3.11 or newer) and make is needed.
#
#   PYTHON=   the interpreter to use       VENV=      where the environment goes
#   ARGS=     options passed on            DEMO_DIR=  a folder for the demo's store, which is then kept
#   WORKERS=  how many run the tests; 0: none but pytest itself

VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 3

CANDIDATES := python3.13 python3.12 python3.11 python3
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach name,$(CANDIDATES),$(shell $(name) -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $(name))))

TOOLS := chromium curl redis-server postgresql procps gcc libc6-dev openssl xfsprogs btrfs-progs exfatprogs exfat-fuse fuse \
	libfuse2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
INSTALL := $(BIN)/python -m pip install --quiet --use-pep517 --editable

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv demo test check bench queues blobs backends load torture tools clean

help: ## show this list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-10s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.cli ## store every named character of Unicode and look around in the folder (DEMO_DIR=folder keeps it)
	@$(BIN)/python examples/unicode_names.py $(if $(DEMO_DIR),--dir "$(DEMO_DIR)") $(ARGS)

venv: $(VENV)/.dev ## install what check and test need

test: $(VENV)/.test ## run every test, with coverage
	@$(BIN)/python -m pytest --cov --numprocesses $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/.dev ## lint, formatting, types, and the layers of the package
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet tests/test_layering.py

bench: $(VENV)/.bench ## measure beside raw file calls and other stores (as root, or with ARGS="--dir folder")
	@$(BIN)/python benchmarks/bench.py --plots benchmarks/plots $(ARGS)

queues: $(VENV)/.bench ## measure the queues beside others (as root, or with ARGS="--dir folder")
	@$(BIN)/python benchmarks/queues.py $(ARGS)

blobs: $(VENV)/.bench ## measure blobs beside plain files and others (as root, or with ARGS="--dir folder")
	@$(BIN)/python benchmarks/blobs.py $(ARGS)

backends: $(VENV)/.bench ## measure stores in Redis and PostgreSQL beside the bare clients (with what "make tools" installs)
	@$(BIN)/python benchmarks/bench_backends.py $(ARGS)

load: $(VENV)/.bench ## measure the server beside a bare route (as root, or with ARGS="--dir folder")
	@$(BIN)/python benchmarks/serving.py $(ARGS)

torture: $(VENV)/.test ## run the long tests that "make test" leaves out
	@$(BIN)/python -m pytest -m torture $(ARGS)

tools: ## install what only the tests of the page, of other filesystems, of failing disks and of databases need (as root on Debian or Ubuntu)
	@if dpkg-query --show --showformat='$${db:Status-Status}\n' $(TOOLS) 2>&1 | grep --quiet --invert-match --line-regexp installed; \
	then apt-get update --quiet=2 && apt-get install --yes --quiet=2 --no-install-recommends $(TOOLS); fi

clean: ## remove the environment and everything that was made
	rm -rf .venv build dist *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An interpreter that was named explicitly and is not the one of the environment makes the environment anew.
ifneq ($(filter command environment,$(origin PYTHON)),)
IDENTITY := import sys; print(sys.base_prefix, sys.version)
ifneq ($(wildcard $(VENV)/.made),)
ifneq ($(shell $(PYTHON) -c '$(IDENTITY)' 2>&1),$(shell $(BIN)/python -c '$(IDENTITY)' 2>&1))
CLEAR := --clear
.PHONY: $(VENV)/.made
endif
endif
endif

$(VENV)/.made:
	@test -n "$(PYTHON)" || { \
	  echo "No Python 3.11 or newer among: $(CANDIDATES). Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
	  echo "$(PYTHON) is missing or older than 3.11. Name another: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(CLEAR) $(VENV)
	@touch $@

# Who develops has what tests need: it is not installed again.
$(VENV)/.%: setup.cfg setup.py $(VENV)/.made
	@echo "installing .[$*] into $(VENV)"
	@$(INSTALL) '.[$*]'
	@touch $@ $(if $(filter dev,$*),$(VENV)/.test)
