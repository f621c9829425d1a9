# `make demo`, `make test`, `make test-slow`, `make test-studies`, `make lint`, `make notebooks`, `make notebooks-full`,
# `make benchmarks`, `make docs`, `make package`, `make clean`.
# Needs python3 (3.11 or later), make and a package index; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
WORKERS ?= 2

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: demo test test-slow test-studies test-oldest lint notebooks notebooks-full benchmarks docs package clean
.DELETE_ON_ERROR:
.SECONDARY:

demo: $(VENV)/installed-base
	$(BIN)/python -m mfsym demo --out demo_out

test: $(VENV)/installed-test
	JAX_ENABLE_X64=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"
	JAX_ENABLE_X64=0 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "float32 and not slow"

test-slow: $(VENV)/installed-test
	JAX_ENABLE_X64=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "slow and not study"

# Statistical studies that guard no code path alone: before a release, not in CI. Verdicts are printed.
test-studies: $(VENV)/installed-test
	JAX_ENABLE_X64=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m study -rA

test-oldest: $(VENV)-oldest/installed
	JAX_ENABLE_X64=1 $(VENV)-oldest/bin/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"
	JAX_ENABLE_X64=0 $(VENV)-oldest/bin/python -m pytest -n $(WORKERS) --dist loadfile -m "float32 and not slow"

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

# Copies, with small sizes, two at a time: the notebooks in the repository keep the outputs they were committed with.
notebooks: $(VENV)/installed-notebooks
	$(BIN)/python notebooks/execute.py small

# In place, with the sizes that a reader sees.
notebooks-full: $(VENV)/installed-notebooks
	$(BIN)/python notebooks/execute.py full

benchmarks: $(VENV)/installed-base
	$(BIN)/python benchmarks/run.py

# Strict: a reference that leads nowhere is an error.
docs: $(VENV)/installed-docs
	$(BIN)/python -m mkdocs build --strict

# The wheel and the sdist, built, looked into, and used in a bare environment outside of the tree.
package: $(VENV)/installed-package
	$(BIN)/python .ci/package.py

clean:
	rm -rf $(VENV) $(VENV)-oldest demo_out figures_out site build dist .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment, editable; each set of extras is added when a target first needs it, and again when
# pyproject.toml changes. The stamps live in the environment, so that they disappear with it.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-base: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP_INSTALL) --editable '.[$*]'
	@touch $@

$(VENV)-oldest/installed: pyproject.toml requirements/oldest.txt
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python $(PIP_INSTALL) --requirement requirements/oldest.txt --editable '.[test]'
	@touch $@
