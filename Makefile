# Two commands on a fresh machine with Python 3.11 or newer and make: `make demo` and `make test` do all the set-up.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
AUDIT := $(VENV)/audit
# PYTHON: the interpreter to make the virtual environment with; the first of these that works and is new enough.
PYTHON ?= python3.13 python3.12 python3.11 python3 python
PYTEST_ARGS ?=
# make test: so many processes share the tests out, file by file; each has a broker of its own, and waits for it often
WORKERS ?= 3
# make determinism, make labels: so many random logs
LOGS ?= 300
# make reload: so many mutated files
CONFIGS ?= 1000
# make fuzz: so many bad records, and as many good ones; then so many bad labels, and so many bad commands
RECORDS ?= 100000
# LOCK_ARGS=--upgrade takes the newest versions; without it those in the lock stay where they can.
LOCK_ARGS ?=
# make chaos: how much of what; the full run is KILLS=200 EVENTS=2000000 FREEZES=50 JOINS=100 RESTARTS=20
# LABELS=500000: so many in one night, of a model beside all others
KILLS ?= 6
EVENTS ?= 60000
FREEZES ?= 1
JOINS ?= 2
RESTARTS ?= 0
BROKERS ?= 1
BROKER_KILLS ?= 0
IDLE ?= 1
LABELS ?= 3000
SEED ?= 1
# make simulate: the full run is SCHEDULES=20000; RESUME keeps what is done, so that it can be gone on with
SCHEDULES ?= 500
SEEDS ?= 300
JOBS ?= 1
RESUME ?= .cache/simulation-$(SEED).jsonl
DIR ?= .cache/chaos
NEW_ENOUGH := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help demo test lint chaos simulate mutations determinism labels lanes reload fuzz lock setup audit

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  variables: PYTHON (interpreter), PYTEST_ARGS, WORKERS (make test), LOCK_ARGS (make lock),"
	@echo "    KILLS, EVENTS, FREEZES, JOINS, RESTARTS, BROKERS, BROKER_KILLS, IDLE, LABELS, SEED, DIR (make chaos)"
	@echo "    SCHEDULES, SEED, JOBS, RESUME (make simulate); SEEDS (make mutations); LOGS (make determinism, make labels); SEED (make lanes)"
	@echo "    RECORDS, SEED (make fuzz); CONFIGS, SEED (make reload)"

demo: $(STAMP) ## show drift being found, on this machine, without a broker
	@$(BIN)/streamdrift demo --once

# pytest comes last, so that its summary is the last thing printed. Files go to the processes in their order of names, in
# which the long ones come first, but for the simulation, which is first of all (tests/conftest.py).
test: lint ## lint, types, import contracts, and all tests
	@echo "== pytest"
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(STAMP) ## ruff, mypy and import contracts
	@echo "== ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run $(BIN)/ruff format"; exit 1; }
	@echo "== mypy"
	@$(BIN)/mypy
	@echo "== import contracts"
	@$(BIN)/lint-imports --no-logo

chaos: $(STAMP) ## kill and freeze the service on real Kafka, and compare it with an undisturbed replay
	@$(BIN)/python -m tests.chaos.run --kills $(KILLS) --events $(EVENTS) --freezes $(FREEZES) --joins $(JOINS) \
		--restarts $(RESTARTS) --brokers $(BROKERS) --broker-kills $(BROKER_KILLS) --idle $(IDLE) --labels $(LABELS) \
		--seed $(SEED) --dir $(DIR)

mutations: $(STAMP) ## break the protocol on purpose: the simulation has to notice each time
	@$(BIN)/python -m tests.simulation.mutations --seeds $(SEEDS)

simulate: $(STAMP) ## the whole service on one core, struck by faults: SCHEDULES from SEED on, by JOBS processes
	@mkdir -p $(dir $(RESUME))
	@$(BIN)/python -m tests.simulation.run --schedules $(SCHEDULES) --seed $(SEED) --jobs $(JOBS) --resume $(RESUME)

determinism: $(STAMP) ## random logs in other batches, processes and processors: the same bytes: LOGS
	@STREAMDRIFT_DETERMINISM_LOGS=$(LOGS) $(BIN)/python -m pytest tests/determinism

labels: $(STAMP) ## random logs of predictions and labels against a slow oracle, restarted and replayed: LOGS
	@$(BIN)/python -m tests.labels.run --logs $(LOGS)

lanes: $(STAMP) ## a dense stream beside a sparse one: live, restarted and replayed the same bytes: SEED
	@$(BIN)/python -m tests.lanes.run --seed $(SEED)

reload: $(STAMP) ## mutated alerts.yaml under traffic: CONFIGS, SEED
	@$(BIN)/python -m tests.reload.run --configs $(CONFIGS) --seed $(SEED)

fuzz: $(STAMP) ## bad records among good ones: RECORDS, SEED
	@$(BIN)/python -m tests.fuzz.run --records $(RECORDS) --seed $(SEED)
	@$(BIN)/python -m tests.fuzz.run --records $(RECORDS) --seed $(SEED) --labels
	@$(BIN)/python -m tests.fuzz.run --records $(RECORDS) --seed $(SEED) --commands

lock: $(STAMP) ## resolve the dependencies of pyproject.toml again into requirements.lock
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet $(LOCK_ARGS) --universal --extra dev --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock

# An environment of its own: pip-audit's dependencies are not to be among ours, which are locked. Without --strict it
# leaves out what the advisory service does not answer for, and calls that success.
audit: $(STAMP) ## look for known vulnerabilities in the locked dependencies (asks an advisory service over the network)
	@test -x $(AUDIT)/bin/pip-audit || { $(BIN)/python -m venv --clear $(AUDIT) \
		&& $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; }
	@$(AUDIT)/bin/pip-audit --strict --progress-spinner off --require-hashes --disable-pip --requirement requirements.lock \
		|| { echo "make audit: FAILED: a vulnerability is listed above, or the advisory service could not be asked" >&2; exit 1; }

setup: $(STAMP) ## make the virtual environment with the locked dependencies

# A pyenv shim answers to python3.13 without there being one, and Debian's python3 may lack ensurepip: so each is tried.
$(STAMP): requirements.lock pyproject.toml
	@if ! $(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null; then \
		found=; for python in $(PYTHON); do \
			if "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null; then found="$$python"; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "No Python 3.11 or newer with venv and ensurepip among: $(PYTHON). Name one: make PYTHON=/path/to/python3.12" >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$found"; \
		"$$found" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "Installing the locked dependencies (once; some 300 MB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@
