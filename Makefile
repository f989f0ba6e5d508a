# One virtual environment serves all commands. PYTHON chooses its interpreter: the first here that is 3.10 to 3.14.
FITS = import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))
PYTHON ?= $(shell for one in python3 python3.12 python3.11 python3.10 python3.13 python3.14; do \
	$$one -c '$(FITS)' 2>/dev/null && echo $$one && break; done)
VENV ?= .venv
BIN = $(VENV)/bin
# Processes that run tests: two cores are enough.
JOBS ?= 2

# A process that dies is told, and the tests go on in a new one.
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --max-worker-restart 4 --durations 15

.PHONY: demo test test-slow test-all lint sizes kernels sanitize clean

# The light runtime alone: no PyTorch. Up to Python 3.12 with face models in MediaPipe's wheel; later ones are fetched.
demo: $(VENV)/installed-light
	$(BIN)/mdhr detect mdhr_sdk/assets/demo.mp4 --out demo-output

# Lint, types and the fast tests.
test: $(VENV)/installed-dev lint
	$(PYTEST) -m "not slow"

# The tests of more than about five seconds each.
test-slow: $(VENV)/installed-dev
	$(PYTEST) -m slow

test-all: test test-slow

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the runtime weighs, package by package.
sizes:
	$(BIN)/python -m benchmarks.sizes --extra solutions

# The compiled kernels in place, after a change to csrc/.
kernels: $(VENV)/installed-dev
	$(BIN)/python setup.py build_ext --inplace

# Address and undefined-behaviour sanitizers over the kernels' own tests, from a copy of its own. CPython keeps memory
# to its end, so leaks are not looked for.
SANITIZED = build/sanitized
sanitize: $(VENV)/installed-dev
	rm -rf $(SANITIZED) && mkdir -p $(SANITIZED)
	cp -r csrc mdhr_sdk tests setup.py pyproject.toml README.md LICENSE $(SANITIZED) && rm -f $(SANITIZED)/mdhr_sdk/*.so
	cd $(SANITIZED) && MDHR_CUDA=0 MDHR_SANITIZE=1 $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	cd $(SANITIZED) && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH=. MDHR_SANITIZED=$(abspath $(SANITIZED)) \
		$(abspath $(BIN))/python -m pytest tests/ops -p no:cacheprovider -m "not slow"

clean:
	rm -rf $(VENV) demo-output models build *.egg-info

$(VENV)/installed-%: pyproject.toml setup.py $(wildcard csrc/*)
	@echo "Setting up $(VENV): some minutes, $(if $(filter light,$*),0.9 GB (1.3 GB up to Python 3.12),several GB with PyTorch)"
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { echo "no Python 3.10 to 3.14 here; name one: make PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install -e '.[$(if $(filter light,$*),solutions,$*)]'
	$(BIN)/python -m pip check
	@touch $@
