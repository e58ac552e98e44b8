# One word for each chore, used alike by people and by CI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIGHT := .venv-light
KERAS := .venv-keras
LITSERVE := .venv-litserve
BENTOML := .venv-bentoml
LITELLM := .venv-litellm
PREDICT := numpy pillow onnxruntime
POSTGRES = $(or $(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin/postgres))),postgres)
NO_CLUSTER := /etc/postgresql-common/createcluster.d/mintage.conf
# TORCH_INDEX, if set, is a further package index, such as PyTorch's own for builds without GPU.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL := help
.PHONY: help demo install test lint format bench bench-train bench-serve bench-bill bench-gateway bench-trust soak docs messages \
	clean system wrk

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
	$(call peer,$(KERAS),tensorflow-cpu pillow)

# Peers of the benchmarks of serving: a server each, and what a bare predict needs.
$(LITSERVE)/.ready: | $(BIN)/python
	@echo "Installing LitServe into $(LITSERVE), to be measured beside: about 250 MB."
	$(call peer,$(LITSERVE),litserve $(PREDICT))

$(BENTOML)/.ready: | $(BIN)/python
	@echo "Installing BentoML into $(BENTOML), to be measured beside: about 350 MB."
	$(call peer,$(BENTOML),bentoml $(PREDICT))

# The peer of the benchmarks of the gateway. Not one of its own requirements is httptools, with which
# its server reads HTTP in less time.
$(LITELLM)/.ready: | $(BIN)/python
	@echo "Installing LiteLLM's proxy into $(LITELLM), to be measured beside: about 700 MB."
	$(call peer,$(LITELLM),'litellm[proxy]' httptools)

# An environment of its own, and what is installed into it.
define peer
rm -rf $(1)
$(BIN)/python -m venv $(1)
echo '*' > $(1)/.gitignore
$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2)
@touch $(1)/.ready
endef

demo: $(VENV)/.train ## install, then the whole way once: draw, train, sign, serve, sell
	$(BIN)/mintage demo

install: $(VENV)/.dev ## everything for working on Mintage; quick when nothing changed

# A browser for the tests that look at the page, which are skipped without one; and PostgreSQL, which
# the tests start themselves, so the package is told to set up no server of its own.
system:
	$(call from_apt,chromium,chromium fonts-noto-cjk,the page's tests,the page's tests are skipped)
	@command -v $(POSTGRES) >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	mkdir -p $(dir $(NO_CLUSTER)) && echo 'create_main_cluster = false' > $(NO_CLUSTER); } || true
	$(call from_apt,$(POSTGRES),postgresql,the tests of PostgreSQL,install PostgreSQL 14 or later for its tests)
	@rm -f $(NO_CLUSTER)

wrk: # the load generator of the benchmarks of serving; without it they are left out
	$(call from_apt,wrk,wrk,the benchmarks of serving,install wrk to measure serving)

# A command, the packages that bring it, what it is for, and what it means that it is not there.
define from_apt
@command -v $(1) >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	echo "Installing $(2) with apt-get, for $(3)." && \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	$(2) >/dev/null; } || echo "No $(1): $(4)."
endef

test: lint system $(VENV)/.dev $(LIGHT)/.ready ## every check that must pass
	MINTAGE_TEST_POSTGRES=1 MINTAGE_TEST_LIGHT=1 $(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term

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

bench-serve: wrk $(VENV)/.dev $(LITSERVE)/.ready $(BENTOML)/.ready ## the same for serving, beside LitServe and others; two hours
	$(BIN)/python -m benchmarks.serve

bench-bill: $(VENV)/.dev ## the same for metering, invoices and economics; an hour
	$(BIN)/python -m benchmarks.bill

bench-gateway: $(VENV)/.dev $(LITELLM)/.ready ## the same for the gateway to language models, beside LiteLLM; half an hour
	$(BIN)/python -m benchmarks.gateway

bench-trust: $(VENV)/.dev ## the same for the audit log and what is signed; ten minutes
	$(BIN)/python -m benchmarks.trust

soak: $(VENV)/.dev ## the tests of crashes, of mutated pictures and of the API, many rounds; an hour
	MINTAGE_ROUNDS=200 $(BIN)/python -m pytest --timeout 7200 tests/capture tests/store tests/trust tests/e2e tests/deliver/test_score.py \
		tests/api/test_fuzz.py tests/api/test_schema.py

docs: $(VENV)/.dev ## write the generated pages anew
	$(BIN)/python docs/generate.py

messages: $(VENV)/.dev ## find every message that people read, and compile the catalogue
	$(BIN)/python tools/messages.py

clean: ## forget the environments and every cache; workspaces stay
	rm -rf $(VENV) $(LIGHT) $(KERAS) $(LITSERVE) $(BENTOML) $(LITELLM) build dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
