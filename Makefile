# The environment is made on first use, and again when what it is made from changes.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check -c constraints.txt
INSTALLED := .venv/.installed
SETUP := .venv/.installed-dev

.PHONY: help demo setup test check hooks parity bench bench-full update-help docs docs-serve

help:
	@echo "make demo         train, test and predict on the embedded digits"
	@echo "make setup        the environment for working on Sightline"
	@echo "make test         all tests"
	@echo "make check        style, types, layers, structure, and whether the help is up to date"
	@echo "make hooks        run make check before each commit"
	@echo "make parity       compare with torchvision, Keras and TensorFlow, in separate environments"
	@echo "make bench        speed compared with Keras, PyTorch and others, under 15 minutes"
	@echo "make bench-full   the same with all trainings, hours"
	@echo "make update-help  update the stored help texts in tests/help"
	@echo "make docs         build the documentation as a site into build/site; a warning is an error"
	@echo "make docs-serve   show that site at http://127.0.0.1:8000 while you write"

demo: $(INSTALLED)
	@$(BIN)/python examples/demo.py

setup: $(SETUP)

test: $(SETUP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_cli_help.py tests/test_house.py tests/test_run_file_names.py tests/test_api.py tests/test_made_pages.py

hooks: $(SETUP)
	$(BIN)/pre-commit install

parity: $(SETUP) .venv-torchvision/.installed .venv-keras/.installed
	.venv-torchvision/bin/python benchmarks/parity/torchvision_networks.py
	.venv-keras/bin/python benchmarks/parity/keras_programs.py build/parity/keras.npz
	$(BIN)/python benchmarks/parity/compare_keras.py build/parity/keras.npz
	$(BIN)/python -m pytest tests/test_parity.py

bench: $(INSTALLED) .venv-peers/.installed
	$(BIN)/python benchmarks/speed/bench.py $(BENCH)

bench-full: $(INSTALLED) .venv-peers/.installed
	$(BIN)/python benchmarks/speed/bench.py --full $(BENCH)

docs: $(SETUP)
	$(BIN)/python docs/site/layers.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-serve: $(SETUP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

update-help: $(SETUP)
	SIGHTLINE_UPDATE_HELP=1 $(BIN)/python -m pytest tests/test_cli_help.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

$(INSTALLED): pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing Sightline into .venv (torch is large) ..."
	@$(PIP) -e '.[photos]'
	@touch $@

$(SETUP): $(INSTALLED)
	@$(PIP) -e '.[dev]'
	@touch $@

.venv-torchvision/.installed: benchmarks/parity/requirements-torchvision.txt pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-torchvision
	.venv-torchvision/bin/pip install -qq -c constraints.txt -e .
	.venv-torchvision/bin/pip install -qq --no-deps -r $<
	@touch $@

.venv-keras/.installed: benchmarks/parity/requirements-keras.txt
	$(PYTHON) -m venv .venv-keras
	.venv-keras/bin/pip install -qq -r $<
	@touch $@

.venv-peers/.installed: benchmarks/speed/requirements-peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install -qq -r $<
	@touch $@
