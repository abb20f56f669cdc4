# make run    the dashboard on http://localhost:8501, on a demo of real purchases
# make test   everything that has to pass, from nothing
# make check  the same without installing anything
# make docs   the documentation, in docs/_build/html
# make bench  the tables of the README and of the model cards
# make clean  remove what was built (data/ and models/ stay)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help run test check docs pictures bench clean browser

# The first interpreter that is new enough; `make run PYTHON=/path/to/python3.12` chooses another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
PORT ?= 8501
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# A stamp is written only after its step has succeeded, and lies inside the environment: a broken
# download leaves no environment that looks finished, and a second `make` installs nothing.
$(VENV)/.made:
	@if [[ -z "$(PYTHON)" ]] || ! "$(PYTHON)" -c '$(NEW_ENOUGH)'; then
		echo "RIM needs Python 3.11 or newer and found none. Install one, or say where it is: make run PYTHON=/path/to/python3.11" >&2
		exit 1
	fi
	if ! $(PY) -m pip --version >/dev/null 2>&1; then
		echo "Making the environment $(VENV) with $$("$(PYTHON)" --version)"
		if ! "$(PYTHON)" -m venv --clear $(VENV); then
			echo "The environment could not be made. On Debian and Ubuntu: apt-get install python3-venv" >&2
			exit 1
		fi
	fi
	touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing RIM and its pinned dependencies (several minutes the first time)"
	$(PIP_INSTALL) setuptools wheel
	$(PIP_INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need"
	$(PIP_INSTALL) --no-build-isolation --editable '.[test]'
	touch $@

run: $(VENV)/.installed
	@$(VENV)/bin/rim demo --prepare
	echo "RIM is starting on http://localhost:$(PORT) (stop it with Ctrl-C)"
	exec $(PY) -m streamlit run app/main.py --server.port $(PORT)

test: $(VENV)/.installed-test browser
	@$(MAKE) --no-print-directory check

check:
	@$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest --numprocesses auto --dist loadfile

# Browser tests need a Chromium. Where Debian's can be installed it is; elsewhere those tests are
# reported as skipped, with the reason.
browser:
	@if command -v chromium chromium-browser google-chrome >/dev/null; then exit 0; fi
	sudo=""
	if [[ $$(id -u) != 0 ]]; then sudo="sudo -n"; fi
	if command -v apt-get >/dev/null && { [[ -z "$$sudo" ]] || $$sudo true 2>/dev/null; }; then
		echo "Installing chromium for the browser tests"
		export DEBIAN_FRONTEND=noninteractive
		{ $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null \
			|| echo "chromium could not be installed: the browser tests will be skipped"
	else
		echo "No Chromium, and no right to install one: the browser tests will be skipped"
	fi

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "Installing what the documentation needs"
	$(PIP_INSTALL) --no-build-isolation --editable '.[docs]'
	touch $@

docs: $(VENV)/.installed-docs
	@$(PY) -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html
	echo "The documentation is in docs/_build/html/index.html"

# The pictures of the documentation, taken by the browser tests on the demo, which is made if it is not there.
pictures: $(VENV)/.installed-test browser
	@$(VENV)/bin/rim demo --prepare
	RIM_SHOWN=$${RIM_WORKSPACE:-.} RIM_PICTURES=docs/images $(PY) -m pytest tests/browser/test_pictures.py -q

bench: $(VENV)/.installed
	@for script in benchmarks/*.py; do echo "== $$script"; $(PY) "$$script"; done

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
