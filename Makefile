PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --python $(BIN)/python

.PHONY: demo test test-ci test-all lint docs check clean

## demo: make a dataset from the example photos, and masks of an example clip; offline after the installation
demo: .venv/installed
	$(BIN)/pipeline run --input examples/DUTS --depth-model tiny-dpt --output demo/dutsv2.zarr
	$(BIN)/pipeline preview demo/dutsv2.zarr --output demo/preview.png
	rm -rf demo/box
	$(BIN)/segmentation predict examples/box.mp4 --flow dis --output demo

## test: run the tests, in a few minutes on two cores
test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile

## test-ci: run a few slow tests: a node that dies, kills, a full disk, a failing object store, a network that learns
test-ci: .venv/installed
	$(BIN)/python -m pytest -m ci

## test-all: run all tests one after the other, in about an hour; tests that need a GPU are skipped without one
test-all: .venv/installed
	$(BIN)/python -m pytest -m ""

## lint: check style and types
lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## docs: build the documentation in docs/_build/html, with warnings as errors
docs: .venv/installed
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

check: test lint

.venv/installed: pyproject.toml
	@echo "Making the virtual environment .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@if UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=1 $(INSTALL) --quiet --dry-run --reinstall --torch-backend auto torch torchvision 2>/dev/null; then \
		echo "Installing fakeflow with the PyTorch that fits this machine (for CPUs only if there is no GPU)"; \
		$(INSTALL) --torch-backend auto --compile-bytecode --editable '.[dev,docs,s3,view]'; \
	else \
		echo "PyTorch's own package index cannot be reached. Installing fakeflow with the PyTorch of your default index;"; \
		echo "on Linux that includes CUDA libraries of several GB, even if there is no GPU"; \
		$(INSTALL) --compile-bytecode --editable '.[dev,docs,s3,view]'; \
	fi
	@touch $@

clean:
	rm -rf .venv demo docs/_build
