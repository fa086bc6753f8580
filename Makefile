# `make demo` and `make test` do everything on a fresh machine; `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help setup demo up down status logs migrate test faults fuzz bench bench-short bench-memory bench-serve check clean

PYTHON ?= python3
VENV := .venv/bin
LOCAL := $(VENV)/python -m local
ARGS ?=
SEEDS ?= 10000
RUNS ?= 300
FUZZ_RUNS ?= 10000
MEGABYTES ?= 2000

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## load a real file through the whole system and show the result
	@$(LOCAL) demo

test: setup ## run the tests against real parts; ARGS="-k name" chooses
	@$(VENV)/python -m pytest $(ARGS)

faults: setup ## inject faults by the thousand, for hours; SEEDS=500 RUNS=20 for less
	$(VENV)/python -m tests.faults.scheduler --seeds $(SEEDS) --processes 2
	$(VENV)/python -m tests.faults.boundaries
	$(VENV)/python -m tests.faults.planted
	$(VENV)/python -m tests.faults.processes --runs $(RUNS)

fuzz: setup ## load thousands of files with bytes flipped, cut and moved; FUZZ_RUNS=500 for less
	$(VENV)/python -m tests.faults.fuzz --runs $(FUZZ_RUNS)

bench: setup ## speed beside ogr2ogr and COPY, small jobs, growth, the cost of a task, recovery: a table, JSON and a picture
	$(VENV)/python -m tests.faults.recovery
	$(VENV)/python -m bench

bench-short: setup ## the same, everything small and once: does it all still run? (minutes)
	$(VENV)/python -m bench --short

bench-memory: setup ## load large files of each format and show the peak memory of every worker; MEGABYTES=200 for less
	$(VENV)/python -m bench.memory --megabytes $(MEGABYTES)

bench-serve: setup ## tiles and pages of a table of a million rows, beside tipg alone on the same table
	$(VENV)/python -m bench.serve

up: setup ## start the whole system, print its URLs, write .local/stack.env
	@$(LOCAL) up

down: setup ## stop what `up` started; data stays
	@$(LOCAL) down

status: setup ## show each part: pid, port, healthy
	@$(LOCAL) status

logs: setup ## follow the logs of all parts
	@$(LOCAL) logs

migrate: setup ## bring the local database to the newest schema
	@$(LOCAL) migrate

check: setup ## formatting, lint, types and import rules
	$(VENV)/ruff format --check
	$(VENV)/ruff check
	$(VENV)/mypy
	$(VENV)/lint-imports

setup: ## install what all of these need; every target does it first
	@python=$$(PYTHON=$(PYTHON) local/setup/find_python.sh) && $$python -m local.setup

clean: ## stop everything and delete .local with all its data
	@if [ -x $(VENV)/python ]; then $(LOCAL) clean; else rm -rf .local; fi
