# Every target sets up what it needs first: Python 3.11 to 3.13, make and the package registries are all it asks for.
PYTHON ?= python3
# How many processes test at a time, each against servers of its own; 0 for one after the other.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SPARK := .venv-spark
LOCKS := requirements/uv.txt requirements/all.txt
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup up down demo spark test test-all check audit format bench lock

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP) ## install everything into .venv (the other targets call it)

$(STAMP): pyproject.toml $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Twinstream needs Python 3.11 to 3.13, and $(PYTHON) is $$($(PYTHON) -V 2>&1): name another one with make PYTHON=..."; exit 1; }
	@echo "==> installing the locked dependencies into $(VENV) (about a minute, once)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --require-hashes requirements/all.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

up: setup ## start the servers and every service, and stay in the foreground until Ctrl-C
	@./twinstream up

down: setup ## stop what a `make up` in another terminal, or a killed one, left running
	@./twinstream down

demo: setup ## stream this machine's Debian packages and their changelogs through the running system
	@./twinstream demo

spark: setup $(SPARK)/.installed ## ask the lake in Spark (ARGS='"select count(*) from b"'); the first time fetches Spark
	@$(BIN)/python examples/spark/submit.py $(ARGS)

$(SPARK)/.installed: requirements/spark.txt | $(STAMP)
	@echo "==> installing Spark into $(SPARK) (a few minutes, once)" >&2
	@test -x $(SPARK)/bin/python || $(PYTHON) -m venv --without-pip $(SPARK)
	@VIRTUAL_ENV=$(CURDIR)/$(SPARK) $(BIN)/uv pip sync --require-hashes requirements/spark.txt
	@touch $@

test: setup ## every test but the long ones, against real servers that it starts itself
	@$(BIN)/python -m pytest -m "not long" --numprocesses $(JOBS) --no-loadscope-reorder $(ARGS)

test-all: setup $(SPARK)/.installed ## the long tests
	@$(BIN)/python -m pytest -m long $(ARGS)

check: setup ## lint, formatting, types and the rules of the house
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/unit/house

bench: setup ## measure: ratios against a ceiling of the same run (ARGS="ingest --keep", ARGS=--quick)
	@$(BIN)/python bench $(ARGS)

audit: setup ## ask for known vulnerabilities of what is locked; fails where no advisories can be had
	@$(BIN)/uv tool run pip-audit --strict --require-hashes --disable-pip -r requirements/all.txt

format: setup ## let ruff mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: ## resolve the latest dependencies anew into requirements/
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	@echo 'uv' | $(COMPILE) --upgrade - -o requirements/uv.txt
	@$(COMPILE) --upgrade pyproject.toml --all-extras --group dev -o requirements/all.txt
	@$(COMPILE) --upgrade --group spark -o requirements/spark.txt
	@$(MAKE) --no-print-directory setup && $(BIN)/python -m localstack.lock_jars
