# Everything a developer or a newcomer does, by name. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP := $(VENV)/.ready
TORCH ?=
TESTS ?= tests
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test check bench bench-swap bench-drift faults drift-report drift-pictures fuzz lock clean demo-checkpoint generate

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(STAMP) ## Make the Python environment (TORCH=cpu: torch's small CPU build)

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "deeptrace needs Python 3.11 or newer, this is $$($(PYTHON) --version); name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 78; }
	@$(PYTHON) -m venv $(VENV) || { echo "cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 78; }
	@awk '/^[a-z]/ {uv = /^uv==/} uv' requirements-dev.lock > $(VENV)/uv.lock
	@$(BIN)/pip install --quiet --require-hashes --requirement $(VENV)/uv.lock
ifeq ($(TORCH),cpu)
	@# The CPU build's wheels are other files than the lock's, so they have no hash in it; everything else is checked.
	@awk '/^[a-z0-9]/ {gpu = /^(torch|torchvision|triton)==|^(nvidia|cuda)-/} !gpu' requirements-dev.lock > $(VENV)/no-torch.lock
	@grep -oE '^torch(vision)?==[0-9.]+' requirements-dev.lock > $(VENV)/torch.txt
	@$(UV) pip install --python $(BIN)/python --no-deps --require-hashes --requirement $(VENV)/no-torch.lock
	@$(UV) pip install --python $(BIN)/python --no-deps --torch-backend=cpu --requirement $(VENV)/torch.txt
else
	@echo "installing the Python packages; the first time this downloads about 3 GB, most of it torch with CUDA (TORCH=cpu is smaller)"
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes --requirement requirements-dev.lock
endif
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: setup ## Run the main job end to end on a real broker and object store
	@$(BIN)/deeptrace demo $(ARGS)

test: setup ## Run all tests (TESTS=path to pick)
	@$(BIN)/python -m pytest $(TESTS) $(ARGS)

check: setup ## Lint, types, import contracts, generated files, documented commands
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m schemas.generate --check
	@$(BIN)/python -m streams.settings_table --check README.md
	@$(BIN)/python -m streams.metrics_table --check docs/metrics.md
	@$(BIN)/python -m pytest --quiet tests/integration/docs

bench: setup ## Print what a reference costs, and where the time goes
	@$(BIN)/python tests/bench/run.py $(ARGS)

bench-swap: setup ## Swap the model under load: 5,000 references, their outcomes, the longest gap (ARGS=--full: full-size networks)
	@$(BIN)/python tests/bench/swap.py $(ARGS)

bench-drift: setup ## What a verdict costs the drift worker, against a plain Faust windowed table; then its memory over a million verdicts
	@$(BIN)/python tests/bench/drift.py $(ARGS)
	@$(BIN)/python tests/bench/drift_memory.py

FAULT_RESULTS := .deeptrace/faults
faults: setup ## Run the fault matrix and write docs/faults.md; about two hours (CASES=a,b to pick, ARGS="--scale fast" for minutes); goes on where it was stopped
	@$(BIN)/python tests/faults/run.py --results $(FAULT_RESULTS) --report docs/faults.md $(if $(CASES),--cases $(CASES)) $(ARGS)

drift-report: setup ## Hold corrected windows against simulated streams of known mix and write docs/drift.md (about 2 minutes on one core)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/bench/drift_truth.py --report docs/drift.md $(ARGS)

drift-pictures: setup ## Photograph the ops page with simulated data: docs/ops-page.png and docs/ops-page-narrow.png (needs Chromium; ARGS="--states FOLDER": every state of the page)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/bench/ops_pictures.py --out docs $(ARGS)

fuzz: setup ## 100,000 mutated references and 20,000 mutated images (about 8 minutes on 2 cores)
	@mkdir -p $(FAULT_RESULTS)
	@$(BIN)/python tests/faults/fuzz/run.py --json $(FAULT_RESULTS)/fuzz.json $(ARGS)

demo-checkpoint: setup ## Make the demo checkpoint and its report card anew: data, audit, training, calibration, evaluation, gate (at most 15 minutes on 2 cores; TRUE_IMAGES=manifest.csv: judge those too)
	@$(BIN)/python -m training.demo --seed 7 --out model/demo --report docs/demo $(if $(TRUE_IMAGES),--true-images $(TRUE_IMAGES))

generate: setup ## Write the generated files: schemas, the table of settings, the table of metrics
	@$(BIN)/python -m schemas.generate
	@$(BIN)/python -m streams.settings_table README.md
	@$(BIN)/python -m streams.metrics_table docs/metrics.md

LOCK := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: setup ## Resolve the dependencies anew (requirements.lock: to run; requirements-dev.lock: to train and develop)
	@# The larger set first: the smaller one must fit into it.
	@$(UV) $(LOCK) pyproject.toml --all-extras --group dev --output-file requirements-dev.lock
	@$(UV) $(LOCK) pyproject.toml --constraint requirements-dev.lock --output-file requirements.lock

clean: ## Remove what was built here (not the download cache)
	@if [ -x $(BIN)/deeptrace ]; then $(BIN)/deeptrace dev down || true; fi
	@rm -rf $(VENV) .deeptrace demo-report dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
