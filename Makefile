# The two commands: `make run` does the main job on a made world, `make test` passes the tests. Both set up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LAKE ?= lake
# 5.7 GB of wheels, nearly all of it torch with the CUDA libraries.
DISK_MB := 9000

.PHONY: setup run test fuzz chaos browser scale audit lint format lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	  || { echo "facemill needs Python 3.11, 3.12 or 3.13 as $(PYTHON); name another with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "Python's venv module is missing; on Debian: apt install python3-venv"; exit 1; }
	@test -d $(VENV) || test "$$(df -Pm . | awk 'NR==2 {print $$4}')" -ge $(DISK_MB) \
	  || { echo "less than $(DISK_MB) MB of disk is free here; the packages take that much"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

run: setup
	$(BIN)/facemill pipeline --source synthetic --lake $(LAKE)

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Known vulnerabilities of the locked packages. pip-audit is no package of ours, so it gets an environment of its own.
audit:
	test -x $(VENV)-audit/bin/pip-audit \
	  || { $(PYTHON) -m venv $(VENV)-audit && $(VENV)-audit/bin/python -m pip install --quiet pip-audit; }
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Needs uv, which is not installed by `make setup`: pip install uv
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-header --no-annotate -o requirements.lock

clean:
	rm -rf $(VENV) $(VENV)-audit *.egg-info .mypy_cache .ruff_cache .pytest_cache

# 16,000 made-up lines, URLs, headers and bodies; `make test` tries a few hundred.
fuzz: setup
	$(BIN)/python -m pytest --hypothesis-profile=fuzz tests/tasks -k test_any_

# 50 kills of runs, workers and the server; a full disk, a bucket that refuses, a web that goes away, a clock that is set.
# An hour of two free cores.
chaos: setup
	CHAOS_KILLS=50 $(BIN)/python -m pytest -m chaos tests/chaos

# The service's pages as a person uses them; needs Debian's chromium and chromium-driver.
browser: setup
	$(BIN)/python -m pytest -m browser tests/flows/service

# Three machines in network namespaces share a pipeline, and one is killed; as root, with what docs/scale.md names.
scale: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[scale]'
	$(BIN)/python -m pytest -m scale tests/scale
