# One virtual environment serves both commands; PYTHON chooses the interpreter (3.10 to 3.12).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# Training apart from the rest: late in one long run, processes of the tests have died without a word.
PYTEST = -n 2 --dist worksteal --max-worker-restart 0 --durations 15
TRAINING = tests/training tests/synthetic tests/test_end_to_end.py

.PHONY: demo test quick lint kernels sanitize clean

# The light runtime alone: no PyTorch.
demo: $(VENV)/installed-light
	$(BIN)/mdhr detect mdhr_sdk/assets/demo.mp4 --out demo-output

test: $(VENV)/installed-dev lint
	$(BIN)/pip check
	$(BIN)/python -m pytest $(PYTEST) $(TRAINING)
	$(BIN)/python -m pytest $(PYTEST) $(TRAINING:%=--ignore=%)

# Without the tests that take more than about ten seconds each.
quick: $(VENV)/installed-dev lint
	$(BIN)/python -m pytest $(PYTEST) -m "not slow" $(TRAINING)
	$(BIN)/python -m pytest $(PYTEST) -m "not slow" $(TRAINING:%=--ignore=%)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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
	@echo "Setting up $(VENV): some minutes, 1.2 GB ($(if $(filter light,$*),MediaPipe and what it needs,with PyTorch: several))"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.$(if $(filter-out light,$*),[$*])'
	@touch $@
