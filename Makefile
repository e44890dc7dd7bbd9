# NoctisPro PACS. `make run` starts it, `make test` checks everything; `make help` lists the rest.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
UV := .venv/bin/uv
# Stamps: what is installed or built, and from which inputs.
RUNTIME := .venv/.installed-runtime
DEV := .venv/.installed-dev
NODE_MODULES := frontend/node_modules/.package-lock.json
BUILT := static/dist/.vite/manifest.json
COMPILED := .venv/.compiled
OHIF := static/ohif/installed.json
# The last one that is written.
MESSAGES := locale/sw/LC_MESSAGES/django.mo
PACKAGES := accounts archive blobs dicom_viewer dimse fastapi_app imaging noctis_pro notifications \
	orders radiology reports worklist
FRONTEND := $(shell find frontend -name node_modules -prune -o -type f -print)

# Real servers and browsers on a busy machine: a failure is tried once more, and the summary says so.
PYTEST := $(PYTHON) -m pytest --reruns 1 -rR --durations=25 --durations-min=3
WORKERS ?= 2
# One worker runs all tests of a file: the servers that they share start once. In the order that
# tests/conftest.py gives, browsers last.
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header

.PHONY: run
run: $(RUNTIME) $(BUILT) $(COMPILED) $(MESSAGES) ## start the site with everything it needs, in the foreground
	@exec $(PYTHON) -m noctis_pro.supervisor

.PHONY: test
test: system-packages check $(BUILT) $(MESSAGES) $(OHIF) test-services ## all that CI runs: checks, services, then every other test
	$(PYTEST) $(SPREAD) --ignore=tests/services tests

.PHONY: help
help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | \
		awk -F'|' '{ printf "  make %-18s %s\n", $$1, $$2 }'

# Environment ----------------------------------------------------------------------------------

$(UV): requirements-uv.lock
	@scripts/create_venv.sh
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(RUNTIME): requirements.lock $(UV)
	@scripts/install_python_packages.sh $<
	@touch $@

$(DEV): requirements-dev.lock $(UV)
	@scripts/install_python_packages.sh $<
	@touch $@ $(RUNTIME)

$(NODE_MODULES): frontend/package-lock.json frontend/package.json | $(UV)
	@scripts/npm.sh ci --ignore-scripts --loglevel=error
	@touch $@

$(BUILT): $(FRONTEND) $(NODE_MODULES)
	@scripts/npm.sh run build
	@touch $@

# Python does this by itself, unless PYTHONDONTWRITEBYTECODE tells it not to.
$(COMPILED): $(shell find $(PACKAGES) -name '*.py') | $(RUNTIME)
	@$(PYTHON) -m compileall -q $(PACKAGES)
	@touch $@

.PHONY: frontend
frontend: $(RUNTIME) $(BUILT) $(MESSAGES) ## build what browsers load, and the translations

$(MESSAGES): $(wildcard locale/*/LC_MESSAGES/django.po) scripts/messages.py | $(RUNTIME)
	@$(PYTHON) scripts/messages.py compile

.PHONY: messages
messages: $(DEV) ## gather the texts of pages and scripts into the catalogues of translations
	$(PYTHON) scripts/messages.py extract

$(OHIF): $(wildcard ops/ohif/*) scripts/install_ohif.py | $(RUNTIME)
	@$(PYTHON) scripts/install_ohif.py

.PHONY: ohif
ohif: $(OHIF) ## fetch the OHIF viewer and serve it at /ohif/

.PHONY: system-packages
system-packages: ## the Debian packages that the tests drive
	@scripts/require_debian_packages.sh

.PHONY: lock
lock: $(UV) ## resolve the dependencies anew into the lock files
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
	@! grep -nE '://' requirements*.lock || { echo "A lock file names a host." >&2; exit 1; }

# Checks ---------------------------------------------------------------------------------------

.PHONY: check
check: $(DEV) $(NODE_MODULES) ## formatters, linters, types, import rules, migrations
	@$(MAKE) --no-print-directory --jobs=$(WORKERS) --output-sync=target style types check-frontend

.PHONY: lint
lint: style types

.PHONY: style
style: $(DEV)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	.venv/bin/lint-imports --no-cache
	@scripts/check_migrations.sh
	$(PYTHON) scripts/messages.py check

.PHONY: types
types: $(DEV)
	$(PYTHON) -m mypy .

.PHONY: check-frontend
check-frontend: $(NODE_MODULES)
	@scripts/npm.sh run check
	@scripts/npm.sh test

.PHONY: format
format: $(DEV) $(NODE_MODULES) ## write the code as the formatters want it
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
	@scripts/npm.sh run format

.PHONY: audit
audit: $(DEV) ## look the pinned packages up among known weaknesses (needs the network)
	.venv/bin/pip-audit --require-hashes --disable-pip -r requirements.lock

# Tests ----------------------------------------------------------------------------------------

.PHONY: test-unit
test-unit: $(DEV) ## pure tests, seconds
	$(PYTEST) $(SPREAD) tests/unit

.PHONY: test-integration
test-integration: $(DEV) $(BUILT) $(MESSAGES) system-packages ## applications, doors, flows on the embedded default
	$(PYTEST) $(SPREAD) tests/apps tests/doors tests/flows

.PHONY: test-services
test-services: $(DEV) $(BUILT) $(MESSAGES) system-packages ## the same on PostgreSQL, Redis and Celery
	$(PYTEST) $(SPREAD) -p tests.services.plugin tests/apps tests/services \
		tests/doors/dicomweb/test_search.py tests/doors/dicomweb/test_store.py

.PHONY: test-browser
test-browser: $(DEV) $(BUILT) $(MESSAGES) $(OHIF) system-packages ## headless Chromium
	$(PYTEST) tests/browser

.PHONY: coverage
coverage: $(DEV) $(BUILT) ## the lines that no test runs in its own process, by file
	$(PYTEST) $(SPREAD) --cov --cov-report=term-missing:skip-covered tests/unit tests/apps tests/doors

.PHONY: soak
soak: $(DEV) $(BUILT) ## hours under load while processes are killed (MINUTES=480)
	$(PYTHON) -m tests.siege --minutes $(or $(MINUTES),480)

# Measurements -----------------------------------------------------------------------------------

.PHONY: load
load: $(DEV) $(BUILT) ## readers, programs and scanners at once (MINUTES=30)
	$(PYTHON) -m tests.perf.mixed_load --minutes $(or $(MINUTES),30)

.PHONY: bench
bench: $(DEV) ## measure receiving and rendering, beside Orthanc where it is installed (minutes; quiet machine)
	$(PYTHON) -m tests.perf.bench_ingest --kind ct
	$(PYTHON) -m tests.perf.bench_ingest --kind small
	$(PYTHON) -m tests.perf.bench_ingest --kind ct --sender storescu --associations 1,4 -n 200
	$(PYTHON) -m tests.perf.bench_render --workers 2

.PHONY: bench-reading
bench-reading: $(DEV) ## measure queries and retrieval, beside Orthanc where it is installed
	$(PYTHON) -m tests.perf.bench_reading

.PHONY: bench-dicomweb
bench-dicomweb: $(DEV) ## measure DICOMweb, beside Orthanc with its plugin where it is installed
	$(PYTHON) -m tests.perf.bench_dicomweb

.PHONY: bench-ehr
bench-ehr: $(DEV) $(BUILT) ## measure what an EHR's users wait for, against the promised targets
	$(PYTHON) -m tests.perf.bench_ehr

.PHONY: bench-viewer
bench-viewer: $(DEV) $(BUILT) $(OHIF) ## measure the viewer in Chromium, beside OHIF on our site and on Orthanc
	$(PYTHON) -m tests.perf.bench_viewer

.PHONY: clean
clean: ## remove what can be made again; the data directory stays
	rm -rf .venv static/dist frontend/node_modules .mypy_cache .ruff_cache
