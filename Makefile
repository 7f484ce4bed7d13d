# Two commands on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON      ?= python3
VENV        ?= .venv
CONSTRAINTS ?= constraints.txt
# Workers of a test run: one a core is quickest on small machines. 0 runs in one process.
TEST_JOBS   ?= 2
PYTEST_ARGS ?=
DEMO_DIR    ?= build/demo
# Data and results of the benchmarks, about 13 GB.
BENCH_DIR   ?= build/bench
BENCH_ARGS  ?=

PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
BIN := $(VENV)/bin
# Stamps in the virtual environment: made anew when another Python, or other versions, are asked for.
MADE := $(VENV)/.made-$(PYTHON_VERSION)
INSTALL := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check \
	install --constraint $(CONSTRAINTS) --editable

.PHONY: demo test test-full test-oldest faults bench bench-quick bench-layout lint types check clean
.NOTPARALLEL:

demo: $(VENV)/.installed  ## the whole path, from a raw legacy file to a clean one, on made-up data
	@rm -rf "$(DEMO_DIR)"
	@mkdir -p "$(dir $(DEMO_DIR))"
	$(BIN)/ptystore demo "$(DEMO_DIR)"

test: $(VENV)/.installed-test  ## the tests, without the slow ones
	$(BIN)/python -m pytest -q -n $(TEST_JOBS) $(PYTEST_ARGS)

test-full: $(VENV)/.installed-test  ## every test, the slow ones at their full size too
	$(BIN)/python -m pytest -q -m "" $(PYTEST_ARGS)

faults: $(VENV)/.installed-test  ## the fault tests at their full numbers, which it prints as a table
	PTYSTORE_FAULTS_FULL=1 $(BIN)/python -m pytest -q -m "" -n $(TEST_JOBS) $(PYTEST_ARGS) \
	  tests/faults tests/formats/npz/test_npz_mutations.py tests/formats/npz/test_pickled_text.py

test-oldest: build/oldest.txt  ## the tests with the lowest versions that pyproject.toml allows
	@$(MAKE) test VENV=.venv-oldest CONSTRAINTS=build/oldest.txt

bench: $(VENV)/.installed-test  ## ptystore beside its peers; renews the table in benchmarks/README.md
	$(BIN)/python -m benchmarks --dir "$(BENCH_DIR)" --readme $(BENCH_ARGS)

bench-quick: $(VENV)/.installed-test  ## every benchmark once on tiny data: that none of them rots
	$(BIN)/python -m benchmarks --dir "$(BENCH_DIR)-quick" --quick $(BENCH_ARGS)

bench-layout: $(VENV)/.installed-test  ## chunk and shard sizes; renews benchmarks/layouts.md
	$(BIN)/python -m benchmarks.layout_tuning --dir "$(BENCH_DIR)" --keep $(BENCH_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

check: lint types test  ## all that must hold; the import rules are among the tests

clean:
	rm -rf .venv .venv-* build dist store/ptystore.egg-info .mypy_cache .pytest_cache .ruff_cache

$(MADE): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "ptystore needs Python 3.11 or newer, and '$(PYTHON)' is $(or $(PYTHON_VERSION),not there);" \
	       "name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "making $(VENV) with Python $(PYTHON_VERSION)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(MADE)
	@echo "installing ptystore"
	@$(INSTALL) .
	@touch $@

$(VENV)/.installed-test: $(MADE)
	@echo "installing ptystore and what its tests need"
	@$(INSTALL) '.[test]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: $(MADE)
	@echo "installing ptystore and what its tests and checks need"
	@$(INSTALL) '.[dev]'
	@touch $(VENV)/.installed $(VENV)/.installed-test $@

build/oldest.txt: pyproject.toml
	@mkdir -p build
	@$(PYTHON) -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
	  | sed 's/>=/==/' > $@
