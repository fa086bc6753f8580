# `make demo` and `make test` do everything on a fresh machine; `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help setup demo up down status logs migrate test check clean

PYTHON ?= python3
VENV := .venv/bin
LOCAL := $(VENV)/python -m local
ARGS ?=

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## load a real file through the whole system and show the result
	@$(LOCAL) demo

test: setup ## run the tests against real parts; ARGS="-k name" chooses
	@$(VENV)/python -m pytest $(ARGS)

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
