# Ceiba. `make run` sets up everything and runs the main job; `make test` sets up everything and tests it.
# Needed on the machine: git, make and Python 3.11. Everything else goes into .venv, pinned by one lock.

.DEFAULT_GOAL := help
.PHONY: help setup run test lab serve bench lint lock browsers

# CEIBA_SAMPLES names the folder of real sample data. A checkout may have one beside it; the library knows no such place.
ifneq ($(wildcard ../shared/data/.),)
export CEIBA_SAMPLES ?= $(shell cd ../shared/data && pwd)
endif
export KERAS_BACKEND ?= jax

LOCK := environments/requirements.txt
PYTHON := .venv/bin/python
# The stamp's name is a checksum of what decides the set-up, so neither a checkout nor a moved folder can leave it stale.
STAMP := .venv/.set-up-$(shell { cat $(LOCK) lib/pyproject.toml; pwd -P; } | cksum | cut -d ' ' -f 1)

help:  ## this list
	@echo "Ceiba: usage: make TARGET"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1	\2/p' Makefile | expand -t 12

setup: $(STAMP)  ## only the set-up: Python packages and the library, in .venv

run: $(STAMP)  ## the main job: every stage on the sample data, then the report (ARGS="..." for options of `ceiba run`)
	.venv/bin/ceiba run $(ARGS)

test: $(STAMP) browsers  ## all tests, two files at a time, with coverage (ARGS="..." for options of pytest, -n 0 for one by one)
	$(PYTHON) -m pytest tests -n 2 --dist loadfile --cov=ceiba --cov-config=tests/coveragerc --cov-report=term:skip-covered --cov-fail-under=85 $(ARGS)

lab: $(STAMP)  ## JupyterLab on the notebooks
	$(PYTHON) -m jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks \
		$$(test "$$(id -u)" != 0 || echo --allow-root) $(ARGS)

serve: $(STAMP)  ## React-2-EO and the dashboards (ARGS="--port 8050")
	.venv/bin/ceiba serve $(ARGS)

bench: $(STAMP)  ## accuracy and speed against reference answers; writes reports/published/ (ARGS="mosaics" for one stage)
	$(PYTHON) tests/benchmarks/run_benchmarks.py $(ARGS)

lint: $(STAMP)  ## style of the Python files and notebooks
	$(PYTHON) -m ruff check .

lock: $(STAMP)  ## resolve environments/requirements.in again (ARGS="--upgrade") and write the conda environments from it
	$(PYTHON) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" environments/requirements.in -o $(LOCK) $(ARGS)
	$(PYTHON) environments/write_environment_yml.py

# ---- set-up ----

$(PYTHON):
	@python=$$(command -v python3.11 || command -v python3 || true); \
	if [ -z "$$python" ] || ! "$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
		echo "Ceiba needs Python 3.11; found: $$("$${python:-python3}" --version 2>&1). Install python3.11 (with its venv module) and try again." >&2; \
		exit 1; \
	fi; \
	"$$python" -m venv --clear .venv || { echo "Python's venv module does not work; on Debian: apt install python3-venv" >&2; exit 1; }

$(STAMP): $(PYTHON)
	@# The commands in .venv hold its path: in a moved or copied folder they are made anew.
	@grep -qsF "$$(pwd -P)/.venv" .venv/pyvenv.cfg || $(MAKE) --no-print-directory -B $(PYTHON)
	@rm -f .venv/.set-up-*
	@# pip installs uv, by the lock's own version and hashes; uv installs the rest several times faster than pip would.
	@awk '/^uv==/ { on = 1 } on { print; if ($$0 !~ /\\$$/) exit }' $(LOCK) > .venv/uv-requirement.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv-requirement.txt
	@echo "Installing the packages of $(LOCK): about 1 GB to download the first time, seconds afterwards."
	VIRTUAL_ENV=.venv $(PYTHON) -m uv pip install --require-hashes -r $(LOCK)
	VIRTUAL_ENV=.venv $(PYTHON) -m uv pip install --no-deps --no-build-isolation -e lib
	@touch $@

# Browser tests use the system's Chromium and Firefox. Where one cannot be installed its tests skip and say so.
browsers:
	@for browser in chromium firefox-esr; do \
		if command -v $$browser >/dev/null 2>&1; then :; \
		elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
			echo "Installing $$browser for the browser tests"; \
			{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$browser >/dev/null; } \
				|| echo "$$browser could not be installed: its tests will skip"; \
		else \
			echo "No $$browser, and it cannot be installed without root and apt: its tests will skip"; \
		fi; \
	done
