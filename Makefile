# Every target sets up what it needs; a second run reuses it. `make help` lists the targets.
PYTHON ?= python3.11
VENV   ?= .venv
RUN    ?= runs/default
NAME   ?= hpc
NEWER  ?= $(CURDIR)/build/slurm-24.11
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Small networks collapse under oversubscribed threads, so one thread unless the caller says otherwise.
export OMP_NUM_THREADS ?= 1

.PHONY: help setup train retrain coverage dist docs test test-slow test-slurm test-slurm-newer setup-ray test-ray bench lint types clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,predict,report,serve,sweep,dev]'
	@touch $@

setup: $(READY) ## create the virtual environment and install everything into it

train: $(READY) ## train on the embedded workload, evaluate, export the policy
	$(BIN)/lepton-rl train --out $(RUN)

retrain: $(READY) ## train a shipped policy again (NAME=hpc), write policy and model card
	$(BIN)/lepton-rl train --config $(NAME) --out runs/retrain-$(NAME)
	$(BIN)/lepton-rl policies publish runs/retrain-$(NAME) --name $(NAME)
	$(BIN)/lepton-rl policies check $(NAME)
	$(BIN)/python -m benchmarks.results_picture

coverage: $(READY) ## the default tests, with the share of lines and branches they run
	$(BIN)/python -m pytest -n 2 --cov=lepton_rl --cov-branch --cov-report=term:skip-covered

dist: $(READY) ## build sdist and wheel, install the wheel into an empty environment, try it
	$(BIN)/python -m pytest -m slow tests/test_distribution.py

docs: $(READY) ## the documentation site, in site/
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

test: $(READY) lint types ## lint, type-check and run the default tests
	$(BIN)/python -m pytest -n 2

test-slow: $(READY) ## the long proofs
	$(BIN)/python -m pytest -m slow -n 2

test-slurm: $(READY) ## install Slurm (root, Debian), start 4 nodes on loopback, run its tests
	bash tests/slurm/install.sh
	$(BIN)/python -m pytest -m "slow or not slow" tests/slurm tests/integrations/slurm

test-slurm-newer: $(READY) ## the same with Slurm 24.11, from a Debian 13 in build/ (root, 300 MB)
	bash tests/slurm/newer.sh $(NEWER)
	LEPTON_TEST_SLURM_ROOT=$(NEWER) $(BIN)/python -m pytest -m "slow or not slow" tests/slurm

setup-ray: $(READY) ## install Ray
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[ray]'

test-ray: setup-ray ## start 3 Ray nodes on loopback (1.7 GB) and run the tests of the Ray executor
	$(BIN)/python -m pytest -m ray tests/ray

bench: $(READY) ## how fast the simulator is; see docs/performance.md
	$(BIN)/python -m benchmarks.simulator

lint: $(READY) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	$(BIN)/mypy

clean: ## remove the virtual environment and build products
	rm -rf $(VENV) build dist site *.egg-info
