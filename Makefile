# make demo   set up, sample a trained model, train LSGAN on MNIST and sample it (about five minutes the first time)
# make test   set up and run the tests
# make test-fast    run the fast half of the tests
# make check  check format, lint, types, and the layers of imports
# make bench  compare one iteration of each model with PyTorch (20 to 40 minutes; nothing else should run)
# make test-cuda    run the tests that need a GPU
# make test-amx     run the tests of bfloat16 on the CPU; where AMX is missing, it is emulated
# make test-wheels  compile everything for CUDA 13 from pip's wheels, without a GPU (half an hour the first time)
# make fuzz   look for files that break their readers, for MINUTES=20 per kind

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
# On Python 3.13, pip would warn that Jittor requires NumPy 1. That can't be installed there, and ganzoo makes Jittor work
# with NumPy 2.
PIP_INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --no-warn-conflicts
INSTALL_JITTOR = if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then \
	$(PIP_INSTALL) --no-deps jittor==1.3.11.0 jittor-offline==0.0.7; fi

# On a CPU with AMX the demo trains in bfloat16.
AMP := $(shell grep -qsw amx_bf16 /proc/cpuinfo && ! command -v nvidia-smi >/dev/null && echo --precision amp)

.PHONY: demo test test-fast test-cuda test-amx test-wheels check bench fuzz clean

demo: $(VENV)/installed
	$(BIN)/ganzoo zoo
	$(BIN)/ganzoo generate zoo:stylegan-avatars --seeds 0-11
	$(BIN)/ganzoo train lsgan --preset experiments/lsgan-mnist.toml $(AMP)
	$(BIN)/ganzoo generate --seeds 0-95 --grid 8x12
	$(BIN)/ganzoo generate --interpolate --seeds 0-95 --grid 4x6

# Tests run in WORKERS processes; those of a file run in the same one, in order. A test that ends its process is not
# repeated.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --max-worker-restart=0

test: $(VENV)/installed-dev
	$(PYTEST)

FAST := $(addprefix tests/,backend checkpoints data datasets interfaces registry sampling training \
	plugins/test_contract.py cli/test_train_resuming.py)

test-fast: $(VENV)/installed-dev
	$(PYTEST) $(FAST)

test-cuda: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m cuda -rs

test-amx: $(VENV)/installed-dev
	$(BIN)/python -m tests.support.amx pytest tests/backend/test_bfloat16.py tests/cli/test_train_precision.py

test-wheels: $(VENV)/installed-dev
	$(PIP_INSTALL) --editable '.[cuda13]'
	$(BIN)/python -m pytest -m wheels -rs -o faulthandler_timeout=0

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	$(BIN)/python experiments/bench/run.py

MINUTES ?= 20

fuzz: $(VENV)/installed-dev
	$(PIP_INSTALL) --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)
	@$(INSTALL_JITTOR)
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/installed-dev: setup.cfg pyproject.toml | $(VENV)
	@$(INSTALL_JITTOR)
	$(PIP_INSTALL) --editable '.[dev]'
	touch $@ $(VENV)/installed

$(VENV):
	@if [ -z "$(PYTHON)" ]; then echo "ganzoo needs Python 3.10 to 3.13, but none was found."; exit 1; fi
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build *.egg-info
