# Every target has a line for people behind ##; `make help` prints them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Bytecode is kept, also where Python is told to write none: hundreds of short processes would compile it anew.
unexport PYTHONDONTWRITEBYTECODE
# Recipes of one run share .venv and its stamp; each is quick, so nothing is lost by doing one at a time.
.NOTPARALLEL:

bin := .venv/bin
locks := requirements-installer.lock requirements.lock requirements-dev.lock

# The environment writes its own location into its scripts, so a copied checkout must not believe the stamp of the
# original: the stamp's name carries the folder it was made in.
stamp := .venv/.ready-$(shell pwd -P | cksum | cut -d ' ' -f 1)

# uv does not read pip's configuration. Where a mirror is configured for pip, both use it; no host is named here.
# What is installed is decided by the hashes in the locks, wherever the files come from.
uv = UV_PYTHON_DOWNLOADS=never UV_CUSTOM_COMPILE_COMMAND="make lock" \
	$${index:+env UV_DEFAULT_INDEX="$$index"} $(bin)/uv --quiet
find_index = index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(bin)/python -m pip config get global.index-url 2>/dev/null || true)}}"
compile := pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What a start of the service or of the sandbox imports; an import leaves its bytecode behind.
started := import alembic.command, anyio._backends._asyncio, receiver.cli.application, receiver.cli.local, \
	receiver.cli.serve, receiver.bootstrap, receiver.sandbox.server, receiver.sdk, sqlalchemy.dialects.sqlite, \
	asyncpg, sqlalchemy.dialects.postgresql.asyncpg, sqlalchemy.ext.asyncio, \
	uvicorn.lifespan.off, uvicorn.loops.auto, uvicorn.middleware.proxy_headers, uvicorn.protocols.http.httptools_impl

.PHONY: setup
setup: $(stamp) ## install everything into .venv, pinned by hash; instant when nothing changed

$(stamp): pyproject.toml $(locks)
	@suitable() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }; \
	chosen=; \
	for candidate in "$${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do \
		if suitable "$$candidate"; then chosen="$$candidate"; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
		echo "make setup: Python 3.11 or newer is needed; here: $$(python3 --version 2>&1 || true)." >&2; \
		echo "Install it, or name it: make setup PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! "$$chosen" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "make setup: $$chosen can not make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	if [ ! -e $@ ]; then echo "Making .venv with $$("$$chosen" --version)"; "$$chosen" -m venv --clear .venv; fi
	@echo "Installing what the locks name"
	@$(bin)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		--requirement requirements-installer.lock
	@$(find_index); $(uv) pip sync --python $(bin)/python --require-hashes $(locks)
	@# The project itself, built by the hatchling that the lock just installed: nothing is fetched here.
	@$(uv) pip install --python $(bin)/python --offline --no-deps --no-build-isolation --editable .
	@# Compiled here: to compile at every start took half of it.
	@$(bin)/python -m compileall -q receiver
	@$(bin)/python -c '$(started)'
	@touch $@

.PHONY: demo
demo: setup ## the main job on this machine, no keys, no configuration
	@$(bin)/receiver demo $(ARGS)

# The libraries of npm that users verify notifications with, by the hashes of their lock. Without npm, or without a
# package registry, the tests that ask them are skipped, and say so.
javascript := tests/javascript/node_modules/.ready

$(javascript): tests/javascript/package-lock.json
	@if command -v npm >/dev/null && command -v node >/dev/null; then \
		echo "Installing what the lock of tests/javascript names"; \
		npm ci --prefix tests/javascript --ignore-scripts --no-audit --no-fund --loglevel error \
			--fetch-retries 1 --fetch-timeout 30000 && touch $@ || \
			echo "make test: npm could not install them; the tests that need them are skipped" >&2; \
	fi

# More than eight at once would want more connections and memory than a common machine spares.
workers = $(shell count=$$(( 2 * $$(nproc 2>/dev/null || echo 2) )); echo $$(( count > 8 ? 8 : count )))

.PHONY: test
test: setup $(javascript) ## run the tests; make test ARGS="tests/domain -x" for some
	@# A file stays on one process, so its tests may share a service. Half of a run is waiting for other processes, so
	@# twice as many files as there are processors run at once; the long ones first, as tests/conftest.py has them.
	@$(bin)/python -m pytest --numprocesses $(workers) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: drill
drill: setup ## the loss proof, four drills and their balances (half an hour); make drill ARGS="--kills 20" for one
	@$(bin)/python -m tests.durability.drill $(ARGS)

.PHONY: bench
bench: setup ## what it costs, beside its peers: ratios, a plot; needs wrk and strace; make bench ARGS=--quick
	@$(bin)/python -m tests.bench $(ARGS)

.PHONY: written
written: setup ## make anew what is written from the code: settings in README and env.example, the picture
	@$(bin)/python -m tests.readme
	@$(bin)/python -m tests.infra.env_example
	@$(bin)/python -m tests.picture

.PHONY: screenshots
screenshots: setup ## pictures of every page in build/screenshots, and README's; needs a Chromium
	@$(bin)/python -m tests.browser.screenshots $(ARGS)

.PHONY: check
check: setup ## every gate: format, lint, types, architecture
	@$(bin)/ruff format --check .
	@$(bin)/ruff check .
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo

.PHONY: format
format: setup ## format, and mend what can be mended safely
	@$(bin)/ruff check --fix-only .
	@$(bin)/ruff format .

.PHONY: lock
lock: setup ## renew the locks after a change of dependencies; make lock ARGS=--upgrade for newer versions
	@$(find_index); \
	$(uv) $(compile) $(ARGS) --all-extras --output-file requirements.lock pyproject.toml; \
	$(uv) $(compile) $(ARGS) --group dev --constraints requirements.lock --output-file requirements-dev.lock; \
	$(uv) $(compile) $(ARGS) --group installer --output-file requirements-installer.lock

.PHONY: clean
clean: ## remove .venv, caches and build results, and nothing that you made
	@rm -rf tests/javascript/node_modules
	@rm -rf .venv build dist .coverage htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find receiver tests -type d -name __pycache__ -prune -exec rm -rf {} +
