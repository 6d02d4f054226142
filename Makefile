# Every target sets up what it needs: Python 3.11 or newer with pip, and make, are enough.
# `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(PYTHON) -m pip --python $(BIN)/python --quiet --disable-pip-version-check

# Python compiles a module when it is first imported: pip would compile all ten thousand of them,
# in half of its time, and most are never used.
INSTALL := $(PIP) install --no-compile --constraint constraints.txt
unexport PYTHONDONTWRITEBYTECODE

# One more than there are cores: a test often waits, for a process, a queue or a browser.
TESTERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# What a target needs is got at the same time: types are checked while a browser is fetched.
MAKEFLAGS += -j3

.PHONY: help demo hematin test coverage lowest lint format docs viewer browser queue kernels clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

demo: $(VENV)/.runtime viewer  ## train on the embedded data, simulate, write demo/report.html
	rm -rf demo
	$(BIN)/ladera demo --output demo

hematin: $(VENV)/.development  ## the study of beta-hematin, hours, resumed; STUDY=--quick for minutes
	$(BIN)/python examples/beta_hematin/study.py --output hematin $(STUDY)

test: lint docs viewer browser queue kernels  ## everything CI checks
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TESTERS) --dist worksteal --durations 12

coverage: $(VENV)/.development  ## the tests again, counting the lines that none of them reaches
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TESTERS) --dist worksteal --cov --cov-report=term:skip-covered

lowest:  ## the tests of models and files with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv --without-pip --clear .venv-lowest
	sed -nE 's/^  "([a-z0-9-]+)>=([0-9.]+)",.*/\1==\2/p' pyproject.toml > .venv-lowest/lowest.txt
	$(PYTHON) -m pip --python .venv-lowest/bin/python --quiet install --no-compile \
	  --constraint .venv-lowest/lowest.txt --editable . 'pytest>=8' 'hypothesis>=6'
	.venv-lowest/bin/ladera --help >/dev/null
	OMP_NUM_THREADS=1 .venv-lowest/bin/pytest tests/test_contract.py tests/test_neighbors.py \
	  tests/test_data_dataset.py tests/test_kernels_cache.py

lint: $(VENV)/.development  ## format, style, types and layers, changing nothing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.development  ## rewrite the sources as `make lint` wants them
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(VENV)/.development  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict

clean:  ## remove what the targets made
	rm -rf $(VENV) site demo build .coverage .mypy_cache .pytest_cache .ruff_cache

# --- set-up ------------------------------------------------------------------------------------

# No ensurepip (Debian packs it apart): the pip that is there installs into the environment.
$(BIN)/python:
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	@$(BIN)/ladera --help >/dev/null # it starts, and its modules are compiled
	@touch $@

$(VENV)/.development: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[dev,docs]'
	@touch $@ $(VENV)/.runtime

# 3Dmol.js for the 3D view of reports, from npm; without it a report has still pictures.
viewer:
	@test -e src/ladera/report/assets/3Dmol-min.js || ! command -v npm >/dev/null || \
	  sh scripts/fetch_3dmol.sh || echo "3Dmol.js could not be fetched: reports without a 3D view."

# Jobs are tested on a Slurm of one node; without it, and without the right to install it, they skip.
queue: browser # one after the other: apt-get has a lock
	@command -v slurmctld >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || \
	  { apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	      slurm-wlm munge; } >/dev/null

# Every loop once: the processes of the tests would compile many of them at the same time.
kernels: $(VENV)/.development
	OMP_NUM_THREADS=1 $(BIN)/ladera compile --quiet

# The browser tests want Chromium; without it, and without the right to install it, they skip.
browser:
	@command -v chromium >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || \
	  { apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
	  >/dev/null
