# The tasks of this project; `make` lists them. ARGS is passed to the program: make test ARGS='-k layers -x'
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# -qq hides warnings about missing packages in an index of the machine's pip configuration. Errors are printed.
# Python compiles a module when it is first imported. Most modules of the packages are never imported.
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -qq --no-compile
MUTATION := .cache/mutation/venv

# Thousands of processes start during the tests. Without compiled files each of them compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check lint format types bandit docs torture mutate bench bench-short tools lock clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/stamp-run ## start the server; it prints the login address
	@exec $(BIN)/breakglass serve $(ARGS)

# In the order of the directories: the slow browser and live tests begin early, and each process starts one browser.
test: $(VENV)/stamp-dev tools ## run the tests
	@$(BIN)/python -m tests.help.programs
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# One core installs the programs while the other installs the packages. Then one core checks the types; the other
# collects the tests, so that the processes of `test` find compiled files, and looks for security mistakes. `test`
# repeats the programs and the collection, and reports their errors.
check: $(VENV)/stamp-made ## the gate: lint, format, types, security, tests; CI runs this
	@{ $(MAKE) --no-print-directory tools; $(BIN)/python -m tests.help.programs; } >/dev/null 2>&1 & \
	$(MAKE) --no-print-directory lint && { \
	  { $(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1; $(MAKE) --no-print-directory bandit; } & \
	  security=$$!; $(MAKE) --no-print-directory types && wait $$security; }; status=$$?; wait; exit $$status
	@$(MAKE) --no-print-directory test

lint: $(VENV)/stamp-dev ## report mistakes, and what `make format` would change
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/stamp-dev
	$(BIN)/mypy

bandit: $(VENV)/stamp-dev
	$(BIN)/bandit -q -c pyproject.toml -r breakglass

format: $(VENV)/stamp-dev ## format the code, and apply the linter's safe repairs
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

docs: $(VENV)/stamp-dev ## write the generated parts of the documentation
	@$(BIN)/python -m tests.docs

torture: $(VENV)/stamp-dev ## inject real faults; takes long, and some tests need root
	@.ci/tools test torture
	$(BIN)/python -m pytest -vs -m torture $(ARGS)
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile torture -n 2

# cosmic-ray has an environment of its own, because it needs many packages and only this target uses it.
mutate: $(VENV)/stamp-dev $(MUTATION)/stamp ## put mistakes into the heart, and count those that its tests notice
	@$(MUTATION)/bin/python -m tests.mutation $(ARGS)

bench: $(VENV)/stamp-dev ## measure, and compare with other designs
	@.ci/tools test bench
	$(BIN)/python -m pytest -vs -m bench
	$(BIN)/python -m tests.bench $(ARGS)

bench-short: $(VENV)/stamp-dev ## measure in some minutes, and print ratios to other designs
	@.ci/tools test bench
	$(BIN)/python -m tests.bench --short $(ARGS)

tools:
	@.ci/tools test

clean: ## remove the environment and all caches; keep the sessions below var/
	rm -rf $(VENV) .cache .*_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: made once, updated when a lock or pyproject.toml is newer than its stamp --------

$(VENV)/stamp-made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Breakglass needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make an environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making the environment in $(VENV) (half a minute, once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/stamp-run: requirements.lock pyproject.toml | $(VENV)/stamp-made
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# The development lock contains the other lock with the same versions (tests/test_project.py), so `run` can use it too.
$(VENV)/stamp-dev: requirements-dev.lock requirements.lock pyproject.toml | $(VENV)/stamp-made
	@$(PIP) --require-hashes -r requirements-dev.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $(VENV)/stamp-run $@

$(MUTATION)/stamp: tests/mutation/requirements.lock
	@$(PYTHON) -m venv --clear $(MUTATION)
	@$(MUTATION)/bin/python -m pip --disable-pip-version-check install -qq --require-hashes -r $<
	@touch $@

# --- the locks: every version with the hashes of its files, for any machine, without the name of a host ----------

COMPILE := $(BIN)/uv pip compile -q --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
  --custom-compile-command 'make lock' --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml

# The servers that the bench compares with. The bench installs them into an environment of its own.
COMPARED := tests/bench/comparators/requirements

lock: $(VENV)/stamp-made ## resolve the dependencies, keeping versions that fit; ARGS=--upgrade renews all
	@$(PIP) uv
	$(COMPILE) --group build -o requirements.lock $(ARGS)
	$(COMPILE) --group build --group dev --extra notify -c requirements.lock -o requirements-dev.lock $(ARGS)
	$(subst pyproject.toml,$(COMPARED).in,$(COMPILE)) -o $(COMPARED).lock $(ARGS)
	$(subst pyproject.toml,tests/mutation/requirements.in,$(COMPILE)) -o tests/mutation/requirements.lock $(ARGS)
