# scintiflow. `make help` lists what can be done.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= laptop
UV_VERSION := 0.13.9
READY := $(VENV)/.ready
LOCKED := --generate-hashes --no-emit-index-url --no-header --python-version 3.11
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help setup data run repro test check format lock ui images containers clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(READY) ## create .venv with everything in requirements.lock

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11, or name it with PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

data: $(READY) ## make the sample cohorts: simulated children and the real GE scan, under DVC
	@$(BIN)/scintiflow sample-cohorts --profile $(PROFILE)

run: data ## the main job: cohorts -> trained, checked, registered model and report
	@$(BIN)/scintiflow retrain --profile $(PROFILE) --allow-dirty

repro: data ## the same road through DVC
	@$(BIN)/dvc repro

test: $(READY) ## the tests, on all cores, under 10 minutes
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow and not containers and not gpu" $(ARGS)

check: $(READY) ## lint, format, types, who may call whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

images: ## build the image that every step runs in, and its bill of materials
	@infra/images/build.sh

containers: $(READY) ## build the image and retrain in containers (dockerd, root, 25 GB, half an hour)
	@$(BIN)/pytest -m containers tests/containers $(ARGS)

format: $(READY) ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

ui: $(READY) ## open MLflow on http://127.0.0.1:5000
	@$(BIN)/mlflow server --backend-store-uri sqlite:///mlflow.db --default-artifact-root mlartifacts --host 127.0.0.1 --port 5000

lock: ## resolve pyproject.toml into requirements.lock again, and the locks of the images
	@$(BIN)/uv pip compile --quiet pyproject.toml --group dev $(LOCKED) -o requirements.lock
	@$(BIN)/uv pip compile --quiet infra/images/scintiflow/tools.in $(LOCKED) -o infra/images/scintiflow/tools.lock
	@$(BIN)/uv pip compile --quiet infra/images/mlflow/requirements.in $(LOCKED) -o infra/images/mlflow/requirements.lock
ifdef EXTRA_INDEX
	@$(BIN)/uv pip compile --quiet pyproject.toml --constraint requirements.lock $(LOCKED) \
	    --index $(EXTRA_INDEX) --index-strategy unsafe-best-match -o infra/images/scintiflow/cpu.lock
endif

clean: ## remove what runs made; cohorts, MLflow and .venv stay
	rm -rf build .scintiflow/runs .scintiflow/pipeline .scintiflow/cache
