# Everything from a fresh clone: `make serve` opens the lab, `make test` passes all tests.
# Needs make and a Python of at least 3.12; the rest is set up in .venv by the first command that needs it.

MINIMUM := 3, 12
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < ($(MINIMUM)))' >/dev/null 2>&1 && { command -v "$$p"; break; }; done)
BIN := .venv/bin
READY := .venv/.ready
DOCS := .venv/.docs
PORT ?= 5006
unexport PYTHONDONTWRITEBYTECODE  # a hundred processes of the tests would each compile the same modules

.PHONY: help setup serve notebook test check bench data dist docs lock clean chromium
help:
	@echo "make serve     open the lab in the browser        (PORT=5006)"
	@echo "make notebook  open the notebooks in JupyterLab"
	@echo "make test      all tests, as in CI                (an hour on two cores)"
	@echo "make check     lint, types and the quick tests    (3 minutes)"
	@echo "make bench     side-by-side measurements against peers"
	@echo "make data      compute the results that ship with the lab (data/results; an hour)"
	@echo "make docs      the documentation, into site/      (minutes; then python3 -m http.server -d site)"
	@echo "make setup     only make the environment .venv"
	@echo "make dist      wheel and sdist, checked and installed in clean environments"
	@echo "make lock      resolve the dependencies again     (needs uv)"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python of at least 3.12 with venv was found: install one (on Debian also python3-venv), or name it: make PYTHON=/path/to/python3.13"; exit 1; }
	@echo "Setting up .venv with $(PYTHON); this takes a minute or two."
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

serve: $(READY)
	$(BIN)/lab serve --port $(PORT)

notebook: $(READY)
	$(BIN)/lab notebook

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -n 2 -m "not slow and not browser and not notebook"

test: $(READY) chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -n 2

# The pages are tested in a real browser, which is no Python package.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "Installing Chromium for the tests of the pages."; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	  else echo "The tests of the pages need Chromium: install it (Debian: sudo apt-get install chromium), or run make check."; exit 1; fi; }

bench: $(READY)
	$(BIN)/python -m benchmarks

data: $(READY)
	$(BIN)/python -m lab.app.shipping
	$(BIN)/python -m docs.make.measure --tables

dist: $(READY)
	$(BIN)/python -m benchmarks.packages

# Nothing is fetched but packages: its scripts, styles and fonts are local, and its links are followed at the end.
docs: $(DOCS)
	$(BIN)/python -m docs.make $(ARGS)

$(DOCS): requirements-docs.lock $(READY)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@

LOCK := uv pip compile pyproject.toml --universal --generate-hashes --python-version 3.12 \
	--no-emit-index-url --no-emit-find-links --no-header --quiet
lock:
	$(LOCK) --extra test --output-file requirements.lock
	$(LOCK) --extra docs --constraint requirements.lock --output-file requirements-docs.lock

clean:
	rm -rf .venv .pytest_cache .ruff_cache build site "$${XDG_CACHE_HOME:-$$HOME/.cache}/transport-lab/tests"
