# Two commands on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON      ?= python3
VENV        ?= .venv
# Set by test-oldest: versions to install in place of the locked ones.
CONSTRAINTS ?=
# The interpreters that `make lock` resolves for: the lowest and the highest that are supported.
LOCK_PYTHONS ?= python3.11 python3.13
LOCK_ARGS   ?=
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
PIP_INSTALL := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check install
LOCKS := $(addprefix requirements/,$(addsuffix .txt,run test dev))

# $(1): the lock files whose packages are wanted. What they hold is compared with their hashes; then
# the project itself, which has none, is built with the setuptools that is among them. Without
# the locks, $(2) names the extra that is wanted.
ifeq ($(strip $(CONSTRAINTS)),)
install = $(PIP_INSTALL) --require-hashes --only-binary :all: \
	  $(patsubst %,--requirement requirements/%.txt,$(1)) \
	  && $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
else
install = $(PIP_INSTALL) --constraint $(CONSTRAINTS) --editable '.$(2)'
endif

.PHONY: demo test test-full test-oldest faults bench bench-quick bench-layout lint types deps check \
	lock clean
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
	  tests/faults tests/formats/npz/test_npz_mutations.py tests/formats/npz/test_pickled_text.py \
	  tests/formats/hdf5/test_attributes.py

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

deps: $(VENV)/.installed-dev  ## whether what is installed goes together
	@$(BIN)/python -m pip --disable-pip-version-check check

check: lint types deps test  ## all that must hold; the import rules are among the tests

lock:  ## renews the hashes in requirements/, and with LOCK_ARGS=--upgrade the versions
	$(firstword $(LOCK_PYTHONS)) requirements/lock.py $(LOCK_ARGS) $(LOCK_PYTHONS)

clean:
	rm -rf .venv .venv-* build dist store/ptystore.egg-info .mypy_cache .pytest_cache .ruff_cache

$(MADE): pyproject.toml $(or $(CONSTRAINTS),$(LOCKS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "ptystore needs Python 3.11 or newer, and '$(PYTHON)' is $(or $(PYTHON_VERSION),not there);" \
	       "name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "making $(VENV) with Python $(PYTHON_VERSION)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(MADE)
	@echo "installing ptystore"
	@$(call install,run)
	@touch $@

$(VENV)/.installed-test: $(MADE)
	@echo "installing ptystore and what its tests need"
	@$(call install,run test,[test])
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: $(MADE)
	@echo "installing ptystore and what its tests and checks need"
	@$(call install,run test dev,[dev])
	@touch $(VENV)/.installed $(VENV)/.installed-test $@

build/oldest.txt: pyproject.toml
	@mkdir -p build
	@$(PYTHON) -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
	  | sed 's/>=/==/' > $@
