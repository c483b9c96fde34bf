# The commands of this project. Each sets up what it needs, in a virtual environment of its own.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8080
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hms-svc needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) (the first time only)"
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(READY): $(INSTALLED)
	@echo "Adding what the tests and checks need (the first time only)"
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@

setup: $(READY)  ## Create the environment with everything the other commands need

run: $(INSTALLED)  ## Start the gateway with demo services on port 8080 and print curl lines to try
	@HMS_SVC_TOKEN=$${HMS_SVC_TOKEN:-demo-sandbox-token} $(BIN)/hms-svc start --demo --routes routes.yml --port $(PORT)

test: $(READY)  ## Run the tests and report the coverage of branches
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --numprocesses auto --dist worksteal $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

quick: $(READY)  ## Run the tests without measuring what they cover, in half the time
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

fuzz: $(READY)  ## Attack the credentials' readers for MINUTES=10, guided by coverage where atheris installs
	@$(BIN)/python -m pip install --quiet --group fuzz || echo "atheris does not install here: by chance only"
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run --minutes $(or $(MINUTES),10)

check: $(READY)  ## Lint, formatting and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/mypy tests layers/policies

format: $(READY)  ## Put the code in form
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# The OpenID provider of the tests, which is a package of npm's.
OIDC ?= $(VENV)-oidc

oidc-ready:
	@test -d $(OIDC)/node_modules/oidc-provider || { echo "Setting up $(OIDC) (the first time only)"; \
	  npm install --silent --no-save --no-audit --no-fund --prefix $(OIDC) oidc-provider@9; }

oidc: $(READY)  ## Test tokens against a real OpenID provider; needs Node.js 20 or newer and npm
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  $(MAKE) --no-print-directory oidc-ready && \
	  HMS_SVC_OIDC=$(abspath $(OIDC)) $(BIN)/python -m pytest tests/oidc $(ARGS); \
	else echo "Not run: the OpenID provider needs Node.js and npm"; fi

clean:  ## Remove the environment and everything generated
	@rm -rf $(VENV) $(VENV)-sam $(VENV)-checkov $(VENV)-oidc .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov build dist

.PHONY: help setup run test quick fuzz check format oidc-ready oidc clean

include infra.mk
