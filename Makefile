# Everything a person does with the project. `make setup` needs only Python >= 3.11 and make; the other targets call it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
CONFIG ?=
WITH_CONFIG := $(if $(CONFIG),--config $(CONFIG))
READY := .venv/.ready
ARGS ?=

.PHONY: help setup demo up down status api worker test test-long chaos chaos-short mutation check fmt bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## install everything into .venv and .cache (with uv)

$(READY): requirements.lock pyproject.toml deploy/setup.sh
	@bash deploy/setup.sh

demo: setup ## count 336,776 real flights through Kafka and check every number (ARGS=--keep leaves it running)
	@$(BIN)/meterstream demo $(ARGS)

up: setup ## run everything on this machine: Kafka, PostgreSQL, ClickHouse's engine, api, worker
	@$(BIN)/meterstream up $(WITH_CONFIG) $(ARGS)

down: setup ## stop what `make up` started
	@$(BIN)/meterstream down $(ARGS)

status: setup ## what runs, where
	@$(BIN)/meterstream status $(ARGS)

api: setup ## the HTTP process alone, against the services of CONFIG
	@$(BIN)/meterstream api $(WITH_CONFIG) $(ARGS)

worker: setup ## a stream worker alone, against the services of CONFIG
	@$(BIN)/meterstream worker $(WITH_CONFIG) $(ARGS)

test: setup ## every test but the long ones
	@$(BIN)/pytest -m 'not benchmark and not long' $(ARGS)

test-long: setup ## the tests that take minutes each
	@$(BIN)/pytest -m long $(ARGS)

chaos: setup ## break the running product again and again, then compare everything (ARGS='--minutes 60 --rate 500 --seed 1')
	@$(BIN)/python -m tests.chaos $(ARGS)

chaos-short: setup ## the same with eight faults in at most four minutes
	@$(BIN)/python -m tests.chaos --short --rate 300 $(ARGS)

mutation: setup ## break the rules of credits and prices in every small way, and see a test fail (ARGS='domain.rating*': a part)
	@$(BIN)/uv pip install --quiet --no-deps --target .cache/mutmut mutmut==3.8.1
	@PYTHONPATH=.cache/mutmut $(BIN)/python -m mutmut run $(ARGS)

check: setup ## format, lint, import contracts, types: what CI runs before the tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy

fmt: setup ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup ## one table of speeds, as ratios to the parts they are made of
	@$(BIN)/python -m tests.benchmarks $(ARGS)

lock: setup ## write requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements.lock --quiet

clean: ## remove what setup made; data directories stay
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
