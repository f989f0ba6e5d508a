# One virtual environment serves both commands; PYTHON chooses the interpreter (3.10 to 3.12).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO_MODEL = models/untrained-resnet18

.PHONY: demo test lint clean

demo: $(VENV)/installed-torch
	@test -d $(DEMO_MODEL) || $(BIN)/mdhr init $(DEMO_MODEL) --backbone resnet18
	$(BIN)/mdhr detect mdhr_sdk/assets/demo.mp4 --model $(DEMO_MODEL) --out demo-output

test: $(VENV)/installed-dev lint
	$(BIN)/pip check
	$(BIN)/python -m pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo-output models build *.egg-info

$(VENV)/installed-%: pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[$*]'
	@touch $@
