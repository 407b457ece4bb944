# What a person does with this checkout. `make help` lists it. Works with GNU make 3.81 (macOS) and newer.

# The first of these that is Python 3.11 to 3.14 makes .venv; choose another with `make PYTHON=/path/to/python`.
# 3.14 comes after the older ones because one dependency has no wheel for it on macOS.
PYTHON ?= python3.13 python3.12 python3.11 python3.14 python3
UV ?= uv
PYTEST_ARGS ?=
MUTATE_ARGS ?=
LOCK_ARGS ?=

BIN := .venv/bin
RUNTIME := .venv/.stamp-runtime
DEV := .venv/.stamp-dev
PEERS := .venv-peers/.stamp
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE_PEERS = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-strip-extras --custom-compile-command "make lock" $(LOCK_ARGS)
COMPILE = $(COMPILE_PEERS) --all-extras --group build

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo ui test test-fast mutate check bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## load real history through the whole pipeline and show what is there: no key, no network
	$(BIN)/python -m pipelines.demo

ui: $(RUNTIME) ## serve the web UI on http://127.0.0.1:3000
	$(BIN)/chandlery init
	$(BIN)/chandlery ui

test: $(DEV) ## run every test, side by side (narrow it with PYTEST_ARGS="-k word")
	$(BIN)/python -m pytest -n 3 --dist loadfile $(PYTEST_ARGS)

# Unit and contract tests, and of the integration tests a slice through the whole: publish, read, quarantine, a provider
# over HTTP, an asset with its gate. On the embedded server only; of an adapter with two clients or two markets, one.
FAST := tests/unit tests/contract $(addprefix tests/integration/,test_named_queries.py test_publish.py test_read.py \
	test_quarantine.py test_remote_ingest.py::test_everything_arrives_and_is_final \
	test_remote_ingest.py::test_a_symbol_that_fails_fails_alone \
	test_assets.py::test_a_rejected_partition_is_not_materialized_and_waits_in_quarantine)

test-fast: $(DEV) ## run the tests that take a minute and a half together
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not slow" -k "not apache and not community and not massive and not alpacacrypto" $(FAST) $(PYTEST_ARGS)

mutate: $(DEV) ## break 200 lines, one at a time, and see which of them no test notices (an hour; docs/testing.md)
	$(BIN)/python -m tests.mutation $(MUTATE_ARGS)

check: $(DEV) ## check format, lint, types and that imports only go down
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV) $(PEERS) ## measure, and write the figures to benchmarks/results/
	$(BIN)/python -m benchmarks

.PHONY: pin
pin: ## write the digests of the containers' images to deploy/.env (needs Docker)
	sh deploy/pin-images.sh

# What a build leaves beside the sources would hide later entry points from an editable install.
.PHONY: dist
dist: $(DEV) ## build the wheel and the source distribution, into dist/
	$(BIN)/python -m build --no-isolation
	rm -rf build *.egg-info

lock: ## pin dependencies anew in the lock files (newer ones with LOCK_ARGS=--upgrade); needs uv
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: install it, or say where it is with UV=/path/to/uv" >&2; exit 1; }
	$(COMPILE) --output-file requirements.lock pyproject.toml
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	$(COMPILE_PEERS) --output-file benchmarks/peers/requirements.lock benchmarks/peers/requirements.in

clean: ## remove .venv, .venv-peers, caches and builds; the data in .chandlery stays
	rm -rf .venv .venv-peers build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.chandlery/*' -prune -exec rm -rf {} +

$(DEV): requirements-dev.lock $(RUNTIME)
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

# What `make bench` measures against, which needs other packages than we do. Peers that cannot be installed are named and
# left out, and tried again the next time.
$(PEERS): benchmarks/peers/requirements.lock | $(BIN)/python
	test -x .venv-peers/bin/python || $(BIN)/python -m venv .venv-peers
	@if .venv-peers/bin/python benchmarks/peers/install.py; then touch $@; fi

$(RUNTIME): requirements.lock pyproject.toml setup.py | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements.lock
	rm -rf build *.egg-info
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(BIN)/python:
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; then \
	    if ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	      echo "$$python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	    fi; \
	    echo "$$python -m venv .venv"; exec "$$python" -m venv .venv; \
	  fi; \
	done; \
	echo "Chandlery needs Python 3.11 to 3.14; found none as $(PYTHON). Name one: make PYTHON=/path/to/python" >&2; exit 1
