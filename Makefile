# Two commands do everything: `make serve` and `make test`. Both set up .venv first, in no time when nothing changed.

PYTHON ?= python3
DEVICE ?= cpu
BIN := .venv/bin

.PHONY: serve test lint bench setup clean

serve: setup
	$(BIN)/tarflow serve

test: setup lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	mkdir -p build
	$(BIN)/python -m benchmarks.sampling --device $(DEVICE) --json build/sampling-$(DEVICE).json
	$(BIN)/python -m benchmarks.scoring --device $(DEVICE) --json build/scoring-$(DEVICE).json
ifeq ($(DEVICE),cuda)
	$(BIN)/python -m benchmarks.roofline --device $(DEVICE) --json build/roofline-$(DEVICE).json
endif

setup: .venv/installed

.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint requirements.lock --editable ".[calibrate,deploy,dev,embedded,worker]"
	touch $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache *.egg-info
