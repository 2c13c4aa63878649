# Every command of the project. Each does the set-up it needs; only the first time takes long.
# Written for GNU make 3.81 and newer, which is what macOS has.

PYTHON := .venv/bin/python
HARNESS := .venv/bin/harness

# What a caller may add, for example: make test PYTEST_ARGS="-k recovery -x"
PYTEST_ARGS ?=
# Tests wait more than they reckon. 0 runs them one after the other, as --pdb needs it.
TEST_WORKERS ?= 2
DEMO_ARGS ?=
LOCK_ARGS ?=
BENCH ?= [!_]*
MATRIX_ARGS ?=
# What `load.inside` takes when a scenario names no image.
IMAGE ?= reliability-harness:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' harness/__init__.py)

# Exact versions with their hashes, and no download addresses.
COMPILE = uv pip compile --universal --generate-hashes --python-version 3.11 \
	--no-header --no-annotate $(LOCK_ARGS)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo compose-demo test check bench scenario-matrix image lock setup environments clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

# A plain command, without a shell around it: Ctrl-C and SIGTERM reach the harness itself, and make
# waits while it heals. When it does not end with 0, make names its exit code and fails.
demo: setup ## load, a real fault and a verdict in a minute (DEMO_ARGS="--defect no-fallback")
	$(HARNESS) demo $(DEMO_ARGS)

compose-demo: environments ## the same with containers: a broker is killed, no order is lost (DEFECT=acks-1)
	docker compose build --quiet
	$(HARNESS) demo --stack compose $(if $(DEFECT),--defect $(DEFECT)) $(DEMO_ARGS)

define run_checks
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
endef

test: setup ## all checks, then all tests (PYTEST_ARGS="-k word")
	$(run_checks)
	$(PYTHON) -m pytest $(PYTEST_ARGS) -n $(TEST_WORKERS)

check: environments ## lint, formatting and types only
	$(run_checks)

bench: setup ## every benchmark, one after the other (BENCH=name for one)
	@status=0; \
	for file in benchmarks/$(BENCH).py; do \
	  if [ ! -f "$$file" ]; then echo "there is no $$file" >&2; exit 2; fi; \
	  echo "== $$file"; \
	  $(PYTHON) "$$file" || { echo "$$file ended with exit code $$?" >&2; status=1; }; \
	done; \
	exit $$status

scenario-matrix: setup ## scenarios with every planted defect (MATRIX_ARGS="--list")
	$(PYTHON) -m scripts.scenario_matrix $(MATRIX_ARGS)

image: ## this project as a container image, for load from inside a cluster (IMAGE=name:tag)
	docker build --tag $(IMAGE) .

lock: ## write the lock files anew (LOCK_ARGS=--upgrade for newer versions)
	@uv --version >/dev/null 2>&1 || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	$(COMPILE) --group dev --all-extras -o requirements.lock pyproject.toml
	$(COMPILE) -c requirements.lock -o requirements.image.lock pyproject.toml
	$(COMPILE) -o stack/requirements.lock stack/requirements.in

setup: ## Python environments and servers, as all of these do by themselves
	@scripts/bootstrap

# For what needs no server.
environments:
	@scripts/bootstrap --skip-servers

clean: ## remove everything that was installed, fetched or cached; runs and baselines stay
	rm -rf .venv stack/.venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
