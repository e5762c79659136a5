# Every target works alone in a fresh clone with python3 (3.11 or newer), venv and pip.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
OUT    ?= demo-out

.PHONY: demo test test-slow test-gpu lint sbom audit serve screenshots clean

demo: $(VENV)/.installed  ## a phantom patient through the whole system
	$(BIN)/penumbra demo --out $(OUT)

serve: $(VENV)/.installed  ## the embedded system, in the foreground
	$(BIN)/penumbra serve

test: $(VENV)/.installed-dev  ## the default test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed-dev  ## what takes minutes
	$(BIN)/python -m pytest -m slow

test-gpu: $(VENV)/.installed-dev  ## what needs a GPU
	$(BIN)/python -m pytest -m gpu

screenshots: $(VENV)/.installed-dev  ## every page, pictured in Chromium
	$(BIN)/penumbra screenshots $(or $(FOLDER),screenshots)

lint: $(VENV)/.installed-dev  ## style, types, layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

sbom: $(VENV)/.installed-dev  ## what is installed, as a CycloneDX bill of materials
	$(BIN)/python deploy/supply/sbom.py sbom.json

audit: sbom  ## are weaknesses known of it; needs a network, and says so where there is none
	$(BIN)/python deploy/supply/audit.py sbom.json

clean:  ## remove the environment and what was made
	rm -rf $(VENV) demo-out sbom.json

# The CPU build of PyTorch that is pinned is installed first, so that no other is fetched. To use a GPU, install
# your CUDA build of torch into the environment and let `pip install -e .` keep it.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==$$(sed -n 's/^torch==//p' constraints.txt)
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev,postgresql]'
	touch $@
