# `make report` and `make test` each work on a bare machine: they set up .venv first if it is missing or out of date.
#
#   make report PRESET=full DATA=student-p53     another preset, other data (see `.venv/bin/reproduce report --help`)
#   make test PYTEST_ARGS="-k masking"           some of the tests
#   make report PYTHON=/path/to/python3.12       a certain interpreter

PRESET ?= quick
DATA ?= auto
PYTEST_ARGS ?=
PYTHON ?=
QUICK ?=

VENV := .venv
BIN := $(VENV)/bin
# The stamp's name holds the folder's, since a virtual environment does not survive being moved.
STAMP := $(VENV)/installed-$(shell pwd -P | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help setup report test lint lab bench readme lock clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP)  ## create .venv from requirements.lock (the other targets do this by themselves)

report: $(STAMP)  ## run the notebooks and render the report into build/
	@$(BIN)/python -m reproduce report --preset $(PRESET) --data $(DATA)

test: $(STAMP)  ## run the tests
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)  ## ruff, and no outputs in committed notebooks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

lab: $(STAMP)  ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab notebooks

bench: $(STAMP)  ## time the methods into build/benchmarks/ (QUICK=--quick: 3 minutes)
	@$(BIN)/python -m reproduce bench $(QUICK)

readme: $(STAMP)  ## write what README, DEVIATIONS and data/README show of results/
	@$(BIN)/python -m reproduce readme

# --no-header and --no-annotate keep commands, paths and hosts out of the file. Versions already locked are kept;
# `make lock UPGRADE=--upgrade` takes the newest.
lock:  ## resolve requirements.lock again from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "error: make lock needs uv (https://docs.astral.sh/uv)" >&2; exit 1; }
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-annotate --quiet $(UPGRADE) --output-file requirements.lock

clean:  ## remove .venv and build/
	rm -rf $(VENV) build

# Wheels only: a source package would run its own build with dependencies that no hash covers.
$(STAMP): requirements.lock pyproject.toml
	@set -eu; python=$$(sh .ci/find-python "$(PYTHON)"); \
	echo "Setting up $(VENV) with $$("$$python" --version) (once; 3.5 GB, a few minutes) …"; \
	"$$python" -m venv --clear $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
	    --requirement requirements.lock; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .; \
	touch $(STAMP); echo "$(VENV) is ready."
