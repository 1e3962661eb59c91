# Every target sets up what it needs on a fresh machine: a virtual environment in $(VENV), the package with the
# extras that the target uses, Debian packages where there is no other way. What is set up is kept, and is made
# again when pyproject.toml or the version of $(PYTHON) changes.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
PEERS := .peers
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # two pips at once in one environment would trip over each other

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "PYTHON=python3.12 takes another interpreter, ARGS=... goes to the command that a target ends in."

.PHONY: demo
demo: $(VENV)/.installed-$(VERSION)-cluster ## several processes share a Dict, one is killed, nothing is lost
	@$(BIN)/ringdict demo $(ARGS)
	@$(BIN)/ringdict demo --three-nodes

.PHONY: test
test: $(VENV)/.installed-$(VERSION)-test ## the tests, but for those marked deep or campaign
	$(call pytest,$(BIN)/python,not deep and not campaign)

.PHONY: test-cluster
test-cluster: $(VENV)/.installed-$(VERSION)-test ## the tests of the embedded Dict, on three real nodes
	$(BIN)/python tests/onnodes.py $(ARGS)

# More rounds, and what is untraced, run without coverage: they add no lines, and a tracer makes each several
# times as slow. The gate is per room, so that a well-tested room cannot hide a neglected one.
.PHONY: test-all
test-all: $(VENV)/.installed-$(VERSION)-test ## every test but the campaigns, more rounds, coverage
	$(call pytest,$(BIN)/python,(deep or hypothesis) and not campaign,--hypothesis-profile=deep)
	$(BIN)/coverage erase
	$(call pytest,$(BIN)/coverage run,not deep and not campaign and not untraced)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	@for room in client gossip node ring; do \
		$(BIN)/coverage report --include="$$room/*" --fail-under=95 --format=total >/dev/null || \
			{ echo "coverage of $$room/ is below 95 %"; exit 1; }; done

.PHONY: campaign
campaign: $(VENV)/.installed-$(VERSION)-test ## the tests with so many seeds that CI has no time for them
	$(call pytest,$(BIN)/python,campaign,--hypothesis-profile=deep)

# Root is needed for namespaces of the network; where they cannot be made, a line says why, and nothing is wrong.
.PHONY: chaos
chaos: $(VENV)/.installed-$(VERSION)-test ## ten minutes of faults on real nodes: ARGS="SECONDS SEED FOLDER"
	@$(BIN)/python -m tests.chaos.chaos $(ARGS) || { code=$$?; [ $$code = 77 ] || exit $$code; }

.PHONY: check
check: $(VENV)/.installed-$(VERSION)-check .import/ringdict ## format, lint, types, the rooms' borders
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

.PHONY: bench
bench: $(VENV)/.installed-$(VERSION)-bench $(PEERS)/.looked ## ringdict beside redis, memcached, diskcache, etcd
	@if [ -d $(PEERS)/usr ]; then \
		export PATH="$(CURDIR)/$(PEERS)/usr/bin:$$PATH"; \
		export LD_LIBRARY_PATH="$$(echo $(CURDIR)/$(PEERS)/usr/lib/*-linux-gnu*)"; \
	fi; $(BIN)/python -m bench $(ARGS)

.PHONY: format
format: $(VENV)/.installed-$(VERSION)-check ## lay out the code, mend what ruff can mend by itself
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## remove all that these targets made
	rm -rf $(VENV) $(PEERS) .bench build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# -- what the targets stand on -------------------------------------------------------------------

# $(1) runs the tests marked $(2): most by as many workers as there are processors, then, one after another, those
# that start nodes or time something. 5 says that no test of one half is meant by $(ARGS).
define pytest
	$(1) -m pytest -n auto --maxprocesses=4 --dist=worksteal -m "($(2)) and not alone" $(3) --durations=10 $(ARGS) || [ $$? = 5 ]
	$(1) -m pytest -m "($(2)) and alone" $(3) --durations=10 $(ARGS) || [ $$? = 5 ]
endef

$(VENV)/.installed-$(VERSION)-plain: pyproject.toml | $(VENV)/.made-$(VERSION)
	$(call install,.)

$(VENV)/.installed-$(VERSION)-%: pyproject.toml | $(VENV)/.made-$(VERSION)
	$(call install,.[$*])

define install
	@echo "installing ringdict ($(1)) into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '$(1)'
	@touch $@
endef

# Debian's python3 comes without ensurepip, which is in a package of its own.
$(VENV)/.made-$(VERSION):
	@[ -n "$(VERSION)" ] || { echo "$(PYTHON) is not to be found: set PYTHON=... to a Python >= 3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ringdict needs Python >= 3.11, $(PYTHON) is $(VERSION): set PYTHON=..."; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || \
			{ echo "$(PYTHON) cannot make virtual environments: install python$(VERSION)-venv"; exit 1; }; \
		apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python$(VERSION)-venv; \
	fi
	@echo "making a virtual environment of Python $(VERSION) in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# Static tools find the package through this link; it is committed, but an sdist has no links.
.import/ringdict:
	mkdir -p $(@D)
	ln -s .. $@

# The bench's peers. Debian's packages start their services when they are installed, so they are not: they are
# unpacked below $(PEERS), together with the libraries that this machine lacks. No root, nothing started, nothing
# changed elsewhere. A peer that cannot be had is reported as missing by the bench itself.
$(PEERS)/.looked:
	@mkdir -p $(PEERS)/deb/partial
	@missing=""; export PATH="$(CURDIR)/$(PEERS)/usr/bin:$$PATH"; \
	for server in redis-server memcached; do \
		command -v $$server >/dev/null || missing="$$missing $$server"; done; \
	command -v etcd >/dev/null || missing="$$missing etcd-server"; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then \
		echo "unpacking$$missing into $(PEERS)"; \
		[ "$$(id -u)" != 0 ] || apt-get update -qq || true; \
		apt-get install -qq -y --download-only --no-install-recommends -o Debug::NoLocking=1 \
			-o Dir::Cache::archives="$(CURDIR)/$(PEERS)/deb" $$missing >/dev/null || true; \
		for deb in $(PEERS)/deb/*.deb; do [ ! -e "$$deb" ] || dpkg-deb -x "$$deb" $(PEERS); done; \
	fi; \
	for server in redis-server memcached etcd; do command -v $$server >/dev/null || exit 0; done; touch $@
