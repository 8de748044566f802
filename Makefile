# One word a job. `make demo` and `make test` do their own set-up; the others expect nothing either.
PYTHON ?= python3
PORT ?= 5000
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps

.PHONY: help setup parts demo demo-gunicorn lab test unit oldest newest audit lint types format docs changelog dist bench way torture clean

help:
	@echo "make demo    start the example on http://localhost:$(PORT)"
	@echo "make lab     start the theft lab on http://theft-lab.localhost:$(PORT)"
	@echo "make test    run all tests (unit: the fast part)"
	@echo "make docs    build the site, build/site/index.html"
	@echo "make changelog | dist   for a release: docs/releasing.md"
	@echo "make oldest | newest | audit | lint | types | format | bench | way | torture | clean"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
	  { echo "flask-supertokens needs Python 3.10 or newer. Name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "This Python can't make virtual environments; on Debian install the package python3-venv."; exit 1; }

$(STAMPS)/demo: setup.cfg | $(BIN)/python
	@echo "Installing the package ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . gunicorn
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: setup.cfg | $(BIN)/python
	@echo "Installing the package and its development tools ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint,docs,bench]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/demo $(STAMPS)/docs

$(STAMPS)/docs: setup.cfg | $(BIN)/python
	@echo "Installing the package and what builds its site ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/web: example_app/package-lock.json
	@sh tools/web-client.sh
	@mkdir -p $(STAMPS) && if [ -d example_app/node_modules ]; then touch $@; fi

$(STAMPS)/libraries: tests/web/package-lock.json
	@sh tools/web-libraries.sh
	@mkdir -p $(STAMPS) && if [ -d tests/web/node_modules ]; then touch $@; fi

$(STAMPS)/sdks: tests/sdks/node/package-lock.json tests/sdks/python/requirements.txt | $(BIN)/python
	@sh tools/sdk-clients.sh $(BIN)/python
	@mkdir -p $(STAMPS) && if [ -d tests/sdks/node/node_modules ] && [ -d tests/sdks/python/.venv ]; then touch $@; fi

# Two groups side by side, since downloads leave the machine idle; npm, which the second needs, comes with the first.
setup:
	@$(MAKE) --no-print-directory --jobs 2 $(STAMPS)/dev parts
	@$(MAKE) --no-print-directory --jobs 3 $(STAMPS)/web $(STAMPS)/libraries $(STAMPS)/sdks

parts:
	@sh tools/system-parts.sh

demo: $(STAMPS)/demo $(STAMPS)/web
	@echo "Open http://localhost:$(PORT)"
	@$(BIN)/flask --app example_app run --port $(PORT)

demo-gunicorn: $(STAMPS)/demo $(STAMPS)/web
	@echo "Open http://localhost:$(PORT)"
	@$(BIN)/gunicorn --workers 4 --bind localhost:$(PORT) "example_app:create_app()"

lab: $(STAMPS)/demo $(STAMPS)/web
	@echo "Open http://theft-lab.localhost:$(PORT)"
	@$(BIN)/flask --app example_app.theft_lab run --port $(PORT)

test: setup
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

unit: $(STAMPS)/dev
	@$(BIN)/python -m pytest -m "not browser and not postgres and not mariadb and not sdks" --ignore tests/processes --ignore tests/packages

# The newest Flask and Werkzeug, before they are released: two methods of Flask's are wrapped.
newest:
	@$(PYTHON) -m venv .venv-newest
	@.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --pre --upgrade flask werkzeug
	@.venv-newest/bin/python -m pytest tests/responses tests/guards tests/routes tests/apps/test_init_app.py \
	  tests/sessions/test_failed_sign_in.py tests/security/test_state_leaks.py tests/security/test_theft_alarm.py

oldest:
	@$(PYTHON) -m venv .venv-oldest
	@$(PYTHON) tools/oldest.py > .venv-oldest/constraints.txt
	@.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --constraint .venv-oldest/constraints.txt --editable '.[test]'
	@.venv-oldest/bin/python -m pytest -m "not browser and not mariadb and not sdks" --ignore tests/processes --ignore tests/packages \
	  --ignore tests/living_with/test_flask_smorest.py

audit: $(STAMPS)/dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	@$(BIN)/pip-audit --skip-editable

lint: $(STAMPS)/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

format: $(STAMPS)/dev
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

types: $(STAMPS)/dev
	@$(BIN)/mypy
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH="$(CURDIR)" $(BIN)/pyright --verifytypes flask_supertokens --ignoreexternal >$(STAMPS)/types || \
	  { cat $(STAMPS)/types; exit 1; }
	@echo "Each public name of the package has a known type."

docs: $(STAMPS)/docs
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/site
	@echo "Open build/site/index.html"

changelog: $(STAMPS)/dev
	@$(BIN)/towncrier build --yes --version "$$($(BIN)/python setup.py --version)"

dist: $(STAMPS)/dev
	@rm -rf dist
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --outdir dist .
	@$(BIN)/twine check --strict dist/*

bench: $(STAMPS)/dev $(STAMPS)/sdks
	@$(BIN)/python -m benchmarks

way: $(STAMPS)/dev
	@$(BIN)/python -m tools.way

torture: setup
	@$(BIN)/python -m tests.torture

clean:
	rm -rf $(VENV) .venv-oldest .venv-newest $(STAMPS) build dist *.egg-info example_app/node_modules \
	  tests/web/node_modules tests/sdks/node/node_modules tests/sdks/python/.venv
