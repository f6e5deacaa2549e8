# `make demo` and `make test` set up everything they need in .venv; a second run installs nothing.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/installed
LATER := /torch/testing/_internal/py312_intrinsics\.py$$

.PHONY: install demo test lint bench notebooks lock clean

install: $(INSTALLED)

# The lock is complete, so pip resolves nothing. That is also what lets recbole in, which only
# carries the MovieLens 100K files and whose own requirements nothing here needs.
# pip would compile the 20,000 modules on one core. One of them is of a later Python: it is left.
$(INSTALLED): requirements.lock pyproject.toml training/kernels.pyx
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
		-r requirements.lock
	$(BIN)/python -m compileall -q -j 0 -x '$(LATER)' .venv/lib
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(INSTALLED)
	$(BIN)/freshet demo

# The tests' processes and the servers that they start keep all cores busy. Threads beside them only
# wait for one another: with two each, the test of the demo takes 64 s of CPU instead of 39.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder --cov --cov-report=term $(PYTEST_ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

# Executes the notebooks and saves them with their pictures.
notebooks: $(INSTALLED)
	$(BIN)/python -m tests.notebooks.run

# Resolves anew for every supported Python and platform.
lock:
	uv pip compile --universal --upgrade --python-version 3.11 pyproject.toml --group dev --extra lab \
		--no-header --no-annotate --quiet -o requirements.lock
	echo "recbole==1.2.1" >> requirements.lock

clean:
	rm -rf .venv .freshet
