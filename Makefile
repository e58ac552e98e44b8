# One word for each chore, used alike by people and by CI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIGHT := .venv-light
KERAS := .venv-keras
# TORCH_INDEX, if set, is a further package index, such as PyTorch's own for builds without GPU.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL := help
.PHONY: help demo install test lint format bench bench-train soak docs messages clean system

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Mintage needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

# Not editable: Python reads the path of an editable install in the locale's encoding, and does not
# start where that cannot spell the folder's name. Where .dev is installed, it is what the demo runs.
$(VENV)/.train: pyproject.toml constraints.txt $(shell find src -name '*.py') | $(BIN)/python
	@[ -e $(VENV)/.dev ] || { \
	echo "Installing Mintage with PyTorch into $(VENV): about 1.4 GB on disk and 1 to 4 minutes"; \
	echo "with a CPU build of PyTorch; several GB where pip picks a GPU build (see TORCH_INDEX in"; \
	echo "the README). Nothing outside this folder is changed."; \
	$(PIP_INSTALL) '.[train]'; }
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Mintage with everything its checks need into $(VENV): about 1.7 GB."
	$(PIP_INSTALL) --editable '.[train,hub,dev]'
	@touch $@ $(VENV)/.train

# What a server gets: the plain install, without PyTorch, and without Mintage itself, which the test
# builds and adds. The installer stays outside, so the folder is what has to be shipped.
$(LIGHT)/.ready: pyproject.toml | $(BIN)/python
	@echo "Installing what serving alone needs into $(LIGHT), to be tested: about 300 MB."
	rm -rf $(LIGHT)
	$(BIN)/python -m venv --without-pip $(LIGHT)
	echo '*' > $(LIGHT)/.gitignore
	$(BIN)/python -m pip --python $(LIGHT) install --quiet --disable-pip-version-check .
	$(BIN)/python -m pip --python $(LIGHT) uninstall --quiet --yes mintage
	@touch $@

# Peers of the benchmarks of training, which Mintage itself never needs.
$(KERAS)/.ready: | $(BIN)/python
	@echo "Installing TensorFlow with Keras into $(KERAS), to be measured beside: about 1.6 GB."
	rm -rf $(KERAS)
	$(BIN)/python -m venv $(KERAS)
	echo '*' > $(KERAS)/.gitignore
	$(KERAS)/bin/python -m pip install --quiet --disable-pip-version-check tensorflow-cpu pillow
	@touch $@

demo: $(VENV)/.train ## install, then the whole way once: draw, train, sign, serve, sell
	$(BIN)/mintage demo

install: $(VENV)/.dev ## everything for working on Mintage; quick when nothing changed

system: # a browser for the tests that look at the page; they are skipped without one
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing chromium and fonts-noto-cjk with apt-get, for the page's tests." && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
		chromium fonts-noto-cjk >/dev/null; } || echo "No chromium: the page's tests are skipped."

test: lint system $(VENV)/.dev $(LIGHT)/.ready ## every check that must pass
	MINTAGE_TEST_LIGHT=1 $(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term

lint: $(VENV)/.dev ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## write the code as the linter wants it
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## measure what we publish, beside its peers
	$(BIN)/python -m benchmarks.run

bench-train: $(VENV)/.dev $(KERAS)/.ready ## the same for training, beside Keras and others; hours
	$(BIN)/python -m benchmarks.train

soak: $(VENV)/.dev ## the tests of crashes, many rounds
	MINTAGE_ROUNDS=200 $(BIN)/python -m pytest tests/capture tests/store tests/e2e

docs: $(VENV)/.dev ## write the generated pages anew
	$(BIN)/python docs/generate.py

messages: $(VENV)/.dev ## find every message that people read, and compile the catalogue
	$(BIN)/python tools/messages.py

clean: ## forget the environments and every cache; workspaces stay
	rm -rf $(VENV) $(LIGHT) $(KERAS) build dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
