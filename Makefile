# One command per chore; CI runs the same ones. `make` alone lists them.
# Works with GNU make 3.81 (macOS) and later.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# A step's stamp lies in the folder that the step fills and has in its name a hash of the step's
# inputs. So a step is done again when the content of its inputs has changed, or its folder is
# gone, and not because git or a copy gave the files new times. A step first removes the stamp of
# its last time, so that going back to older inputs is a change too.
key = $(shell cat $(1) | cksum | cut -d ' ' -f 1)

PYTHON_INPUTS := pyproject.toml hatch_build.py requirements/uv.txt requirements/run.txt
NPM_INPUTS := package.json package-lock.json .npmrc scripts/link_opencode.py
REAL_INPUTS := tests/real/package.json tests/real/package-lock.json scripts/link_opencode.py

# The environment's scripts hold absolute paths: a moved folder needs a new one.
VENV_STAMP := .venv/.stamp-venv-$(shell pwd | cksum | cut -d ' ' -f 1)
UV_STAMP := .tools/.stamp-uv-$(call key,requirements/uv.txt)
NPM_STAMP := node_modules/.stamp-$(call key,$(NPM_INPUTS))
REAL_STAMP := tests/real/node_modules/.stamp-$(call key,$(REAL_INPUTS))
RUN_STAMP := .venv/.stamp-run-$(call key,$(PYTHON_INPUTS) $(NPM_INPUTS))
DEV_STAMP := .venv/.stamp-dev-$(call key,$(PYTHON_INPUTS) $(NPM_INPUTS) requirements/dev.txt)
BYTECODE_STAMP := .venv/.stamp-bytecode

BIN := .venv/bin
PIP := .tools/bin/uv pip
PIP_FLAGS := --python $(BIN)/python --quiet
NPM_CI := npm ci --no-progress --loglevel=error >/dev/null

# An activated environment or a user's settings must not decide where packages go.
export UV_PYTHON_DOWNLOADS := never
export UV_NO_CONFIG := 1
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- use

.PHONY: run
run: setup-run ## set up what is missing, then start CodeWalk (ARGS="--port 4091")
	@CODEWALK_OPENCODE="$${CODEWALK_OPENCODE:-$(CURDIR)/node_modules/.bin/opencode}" \
		exec $(BIN)/codewalk up $(ARGS)

# ---------------------------------------------------------------- check

# The stages in this order, each under its name; make says which one failed.
.PHONY: test
test: setup-test format lint types layers pythons pytest ## set up what is missing, then run every check and test (ARGS="-k url")

.PHONY: format
format: $(DEV_STAMP) ## check the code's format
	@echo "== format"
	@$(BIN)/ruff format --check --quiet . || { echo "error: 'make fmt' puts this right" >&2; exit 1; }

.PHONY: lint
lint: $(DEV_STAMP) ## check lint rules
	@echo "== lint"
	@$(BIN)/ruff check --quiet .

.PHONY: types
types: $(DEV_STAMP) ## check types
	@echo "== types"
	@$(BIN)/mypy
	@node_modules/.bin/tsc

.PHONY: layers
layers: $(DEV_STAMP) ## check that imports follow the layers
	@echo "== layers"
	@$(BIN)/lint-imports --no-logo

# Before the tests on the main one, so that their summary stands last.
.PHONY: pythons
pythons: setup-test ## run the unit tests on every other Python of this machine
	@echo "== unit tests on other Pythons"
	@scripts/test-pythons

.PHONY: pytest
pytest: setup-test ## run the tests alone (ARGS="-k url")
	@echo "== tests"
	@$(BIN)/pytest $(ARGS)

.PHONY: fmt
fmt: $(DEV_STAMP) ## format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

# ---------------------------------------------------------------- measure

.PHONY: bench
bench: setup-test ## measure speed beside blackbox_exporter, Node and OpenCode's own pages
	@scripts/system-packages bench
	@$(BIN)/python -m bench $(ARGS)

# ---------------------------------------------------------------- set up

.PHONY: setup setup-run setup-test
setup: setup-run setup-test ## set up all that run and test need, without running them

setup-run: $(RUN_STAMP) $(BYTECODE_STAMP)
	@:

setup-test: $(DEV_STAMP) $(REAL_STAMP) $(BYTECODE_STAMP)
	@scripts/system-packages browser
	@scripts/system-packages postgres
	@scripts/system-packages network

$(UV_STAMP):
	@echo "getting uv"
	@rm -f .tools/.stamp-uv-*
	@scripts/install-uv
	@touch $@

$(VENV_STAMP): | $(UV_STAMP)
	@echo "making .venv"
	@python=$$(scripts/find-python) && .tools/bin/uv venv --quiet --clear --python "$$python" .venv
	@touch $@

# --compile-bytecode, and the compileall below: commands start in half the time, also where
# PYTHONDONTWRITEBYTECODE keeps Python from doing it itself.
$(RUN_STAMP): $(VENV_STAMP) $(NPM_STAMP)
	@echo "installing Python packages"
	@rm -f .venv/.stamp-run-*
	@$(PIP) install $(PIP_FLAGS) --require-hashes --compile-bytecode -r requirements/run.txt
	@$(PIP) install $(PIP_FLAGS) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo "installing Python packages for development"
	@rm -f .venv/.stamp-dev-*
	@$(PIP) install $(PIP_FLAGS) --require-hashes --compile-bytecode -r requirements/dev.txt
	@touch $@

$(BYTECODE_STAMP): $(RUN_STAMP) $(shell find src/codewalk -name '*.py')
	@$(BIN)/python -m compileall -q src/codewalk
	@touch $@

$(NPM_STAMP): | $(VENV_STAMP)
	@echo "installing OpenCode and front-end files from npm"
	@command -v npm >/dev/null || { echo "error: CodeWalk needs npm (it comes with Node.js)" >&2; exit 1; }
	@$(NPM_CI)
	@$(BIN)/python scripts/link_opencode.py . opencode-ai=opencode
	@touch $@

$(REAL_STAMP): | $(VENV_STAMP)
	@echo "installing older OpenCode releases for the tests from npm"
	@cd tests/real && $(NPM_CI)
	@$(BIN)/python scripts/link_opencode.py tests/real \
		opencode-ai-1-0-0=opencode-1.0.0 opencode-ai-1-18-23=opencode-1.18.23
	@touch $@

# ---------------------------------------------------------------- maintain

COMPILE := .tools/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command "make lock" $(LOCK_ARGS)

COMPLETE_LOCK := $(BIN)/python scripts/complete_lock.py
NPM_LOCKS := package-lock.json tests/real/package-lock.json

.PHONY: lock
lock: $(VENV_STAMP) ## pin what pyproject.toml and package.json ask for (LOCK_ARGS=--upgrade)
	@$(COMPILE) --no-annotate requirements/uv.in -o requirements/uv.txt
	@$(COMPILE) pyproject.toml --group build -o requirements/run.txt
	@$(COMPILE) pyproject.toml --group build --group dev -c requirements/run.txt -o requirements/dev.txt
	@$(COMPLETE_LOCK) forget $(NPM_LOCKS)
	@npm install --package-lock-only --loglevel=error
	@cd tests/real && npm install --package-lock-only --loglevel=error
	@$(COMPLETE_LOCK) add $(NPM_LOCKS)

.PHONY: wheel
wheel: $(RUN_STAMP) ## build the wheel into dist/
	@.tools/bin/uv build --wheel --no-build-isolation --python $(BIN)/python --quiet
	@ls dist/*.whl

.PHONY: clean
clean: ## remove all that make has made
	rm -rf .tools .venv node_modules tests/real/node_modules dist build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf src/codewalk/web/static/vendor
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
