# Two commands matter: `make demo` and `make test`. Everything they need is installed into $(VENV) once,
# and again only when pyproject.toml changes. Needs nothing but make and Python 3.11 or later.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?=
BIN = $(VENV)/bin

# The stamp names what was installed from where: a change of pyproject.toml, or another checkout
# that shares this environment, asks for a new (quick) install.
STAMP := $(VENV)/.installed-$(shell { cat pyproject.toml; pwd; } | cksum | cut -d' ' -f1)

# glibc gives large blocks back to the kernel and asks for them again at every step; keeping them
# makes CPU forward passes measurably faster.
export MALLOC_MMAP_THRESHOLD_ := 1073741824
export MALLOC_TRIM_THRESHOLD_ := 1073741824
export PYTHONUNBUFFERED := 1

option = $(if $($(1)),--$(2) "$($(1))")

.PHONY: help demo serve test check docs bench gpu torture ray format draw install
help: ## this list
	@echo "make TARGET [NAME=value …]"
	@echo
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{ printf "  %-8s %s\n", $$1, $$2 }'

demo: $(STAMP) ## train, publish, serve and ask, on real images [PORT= EXIT=1 DATA=path]
	@echo "==> demo: train a task adapter, upload it to a running server, ask every task about real images"
	@$(BIN)/mimi demo $(call option,PORT,port) $(call option,DATA,data) $(if $(filter-out 0,$(EXIT)),--exit)

serve: $(STAMP) ## serve every task of the store [HOST= PORT= STORE= BACKBONE= WEIGHTS=]
	@$(BIN)/mimi serve --host "$(HOST)" $(call option,PORT,port) $(call option,STORE,store) \
		$(call option,BACKBONE,backbone) $(call option,WEIGHTS,weights)

test: $(STAMP) ## the whole test suite, with its coverage gates [ARGS=pytest options]
	@echo "==> test: the whole suite, offline, warnings are errors"
	@rm -f .coverage .coverage.*
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report= $(ARGS)
	@echo "==> test: coverage"
	@$(BIN)/python -m coverage json --quiet
	@$(BIN)/python scripts/check_coverage.py coverage.json

check: $(STAMP) ## style, types, import rules, sizes, documents
	@echo "==> check: ruff (style)" && $(BIN)/ruff check .
	@echo "==> check: ruff (format)" && $(BIN)/ruff format --check .
	@echo "==> check: mypy --strict" && $(BIN)/mypy --strict
	@echo "==> check: import rules" && PYTHONPATH=. $(BIN)/lint-imports
	@echo "==> check: sizes" && $(BIN)/python scripts/check_sizes.py
	@echo "==> check: pins of the image" && $(BIN)/python scripts/check_pins.py
	@echo "==> check: documents" && $(BIN)/python scripts/check_docs.py
	@echo "==> check: the reference of the command line" && PYTHONPATH=. $(BIN)/python scripts/make_cli_reference.py --check
	@echo "==> check: the reference of the server" && PYTHONPATH=. $(BIN)/python scripts/make_reference.py --check
	@echo "==> check: sentences" && $(BIN)/python scripts/check_sentences.py
	@echo "==> check: the drawing" && $(BIN)/python scripts/draw_architecture.py --check

docs: $(STAMP) ## the documents as a site that works offline, in build/site; a broken link is an error
	@echo "==> docs: build/site"
	@PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

bench: $(STAMP) ## what we claim, measured; alone, it lists the benchmarks [ARGS="engine …"]
	@$(BIN)/python -m benchmarks $(or $(ARGS),--help)

gpu: $(STAMP) ## on a CUDA device: skipped tests, engine, training, resuming, pretraining [JSON= DEVICE=cpu rehearses]
	@$(BIN)/python -m benchmarks gpu --json "$(or $(JSON),gpu.json)" $(call option,DEVICE,device)
torture: $(STAMP) ## attacks on a real server beside good traffic; writes docs/reliability.md [SECONDS=600 ARGS="--parts …"]
	@echo "==> torture: a real server, good traffic, and one attack after the other"
	@mkdir -p docs/results
	@$(BIN)/python -m tests.stress torture --seconds $(or $(SECONDS),600) --json docs/results/reliability.json \
		--report docs/reliability.md $(ARGS)

ray: $(STAMP) ## Ray Serve on this machine, under load: a second replica, one killed, a rolling update [JSON=ray.json]
	@echo "==> ray: a cluster of this machine, clients that ask and upload, and replicas that come and go"
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress cluster --json "$(or $(JSON),ray.json)"

format: $(STAMP) ## rewrite the source in the project's format
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format .

draw: $(STAMP) ## docs/architecture.svg, from the imports of the source
	@$(BIN)/python scripts/draw_architecture.py

install: $(STAMP) ## only make the environment [VENV=.venv PYTHON=python3]
	@echo "==> installed in $(VENV)"

$(STAMP):
	@bash scripts/make_environment.sh "$(PYTHON)" "$(VENV)"
	@rm -f $(VENV)/.installed-* && touch $@

# Tools of a release, apart from what is tested with: they bring many packages of their own.
.PHONY: lock sbom
TOOLS = $(VENV)/release

$(TOOLS):
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install --disable-pip-version-check --quiet 'uv>=0.9' 'cyclonedx-bom>=7.0' || { rm -rf $(TOOLS); exit 1; }

lock: $(STAMP) $(TOOLS) ## versions and hashes for the image, from what is installed here: deploy/locks
	@PATH="$(TOOLS)/bin:$$PATH" bash scripts/lock.sh $(BIN)/python

sbom: $(TOOLS) ## what the image is made of, as CycloneDX [DEVICE=cpu OUTPUT=sbom.json]
	@cat deploy/locks/$(or $(DEVICE),cpu).txt $(wildcard deploy/locks/torch-$(or $(DEVICE),cpu).txt) | \
		$(TOOLS)/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml \
		--output-reproducible --output-file "$(or $(OUTPUT),sbom.json)" -
	@echo "==> sbom: $(or $(OUTPUT),sbom.json)"
