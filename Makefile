# Two commands: `make run` and `make test`. They need Python 3.11 or newer, and nothing else.

SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes
COMPILE := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

# Tests and benchmarks keep away from your data, and need not survive a power cut.
APART := SYNC_VAR_DIR="$(CURDIR)/var/test" SYNC_EMBEDDED_FSYNC=off

# ARGS goes to pytest, to `manage.py serve` and to the benchmark: make test ARGS="-k policy"
ARGS :=

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench chaos e2e contract-data lock clean venv runtime dev

help:
	@echo 'make run            the whole product on this machine; PORT=8001 chooses another port'
	@echo 'make test           all tests; ARGS="-k name" some of them'
	@echo 'make lint           everything that is checked without running the product'
	@echo 'make format         formats the code'
	@echo 'make bench          measures, writes bench.json'
	@echo 'make chaos          kills, cuts off and starves what runs, about eight minutes; writes chaos.json'
	@echo 'make e2e            tests in a real browser (an installed Chromium)'
	@echo 'make contract-data  fetches the descriptions of GitHub that some tests compare with'
	@echo 'make lock           writes requirements/*.txt anew from requirements/*.in'
	@echo 'make clean          removes what the commands above made, except your data in var/'

run: runtime
	@exec $(PY) manage.py serve $(ARGS)

test: dev
	@$(APART) exec $(PY) -m pytest -n auto --maxprocesses=4 --dist worksteal $(ARGS)

lint: dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy .
	$(VENV)/bin/lint-imports
	$(PY) manage.py check --fail-level WARNING
	$(PY) manage.py makemigrations --check --dry-run
	SECRET_KEY=$$($(PY) -c 'import secrets; print(secrets.token_hex(40))') BASE_URL=https://mirror.example \
		$(PY) manage.py check --deploy --fail-level WARNING
	$(PY) -m djlint templates --lint --check

format: dev
	$(PY) -m ruff check --fix --quiet .
	$(PY) -m ruff format .
	$(PY) -m djlint templates --reformat --quiet

bench: dev
	@$(APART) exec $(PY) -m tests.bench $(ARGS)

chaos: dev
	@exec $(PY) -m tests.chaos $(ARGS)

# What a failure looked like, and how it came about, is in var/e2e afterwards.
e2e: dev
	@$(call install,e2e)
	@$(APART) exec $(PY) -m pytest tests/browser --output var/e2e --tracing retain-on-failure \
		--screenshot only-on-failure $(ARGS)

contract-data: venv
	@exec $(PY) tests/contract_data.py $(ARGS)

lock: dev
	$(COMPILE) requirements/runtime.in -o requirements/runtime.txt $(ARGS)
	$(COMPILE) requirements/dev.in -c requirements/runtime.txt -o requirements/dev.txt $(ARGS)
	$(COMPILE) requirements/e2e.in -c requirements/dev.txt -o requirements/e2e.txt $(ARGS)

clean:
	rm -rf $(VENV) staticfiles bench.json chaos.json .contract-data .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# --- the virtual environment ------------------------------------------------------------------
# Installed again only when a lock file changed: its checksum is kept beside what it installed.

current = test "$$(cat $(VENV)/.installed-$(1) 2>/dev/null)" = "$$(cksum < requirements/$(1).txt)"
note = cksum < requirements/$(1).txt > $(VENV)/.installed-$(1)
install = $(call current,$(1)) || { \
	echo 'Installing requirements/$(1).txt (once, a minute or two) ...'; \
	$(PIP) -r requirements/$(1).txt && $(call note,$(1)); }

runtime: venv
	@$(call install,runtime)

dev: venv
	@$(call current,dev) || { $(call install,dev) && $(call note,runtime); }

venv:
	@$(PY) -c '' 2>/dev/null || { \
	for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			$$python -m venv --clear $(VENV) && exit 0; \
			echo "$$python cannot make a virtual environment: install its venv module (Debian, Ubuntu: apt install python3-venv)."; \
			exit 1; \
		fi; \
	done; \
	echo 'Python 3.11 or newer is needed and was not found: install it, or name it: make run PYTHON=/path/to/python3.12'; \
	exit 1; }
