# The two commands: `make run` does the main job on a made world, `make test` passes the tests. Both set up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# uv and pip-audit, which are not the product's, in an environment of their own.
TOOLS := $(VENV)-tools
# mkdocs with its packages, likewise.
DOCS := $(VENV)-docs
LAKE ?= lake
# 5.7 GB of wheels, nearly all of it torch with the CUDA libraries.
DISK_MB := 9000

# What a lock names, by its hashes. Wheels only: building a source archive would install packages that no lock names.
INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r

.PHONY: setup run test coverage fuzz redteam reference images chaos browser scale soak audit docs lint format lock upgrade clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	  || { echo "facemill needs Python 3.11, 3.12 or 3.13 as $(PYTHON); name another with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "Python's venv module is missing; on Debian: apt install python3-venv"; exit 1; }
	@test -d $(VENV) || test "$$(df -Pm . | awk 'NR==2 {print $$4}')" -ge $(DISK_MB) \
	  || { echo "less than $(DISK_MB) MB of disk is free here; the packages take that much"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(TOOLS)/.installed: requirements-tools.lock
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python $(INSTALL) $<
	@touch $@

run: setup
	$(BIN)/facemill pipeline --source synthetic --lake $(LAKE)

# Three processes on two cores: half of the time a test waits, for a server to start or for a host that never answers.
test: setup
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# The same with the share of the lines that each file's tests run. Costs a third more on Python 3.11, little from 3.12 on.
coverage: setup
	$(BIN)/coverage erase
	COVERAGE_CORE=$${COVERAGE_CORE:-$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')} \
	  $(BIN)/coverage run -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The documents as pages in site/. Fails on a broken link.
docs: $(DOCS)/.installed
	$(DOCS)/bin/mkdocs build --strict --quiet

$(DOCS)/.installed: requirements-docs.lock
	@test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python $(INSTALL) $<
	@touch $@

# Known vulnerabilities of the locked packages.
audit: $(TOOLS)/.installed
	$(TOOLS)/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock
	$(TOOLS)/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements-tools.lock

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Writes the locks: what `make setup` installs, what the image installs (the same versions), and the tools.
# A version that is locked stays as it is while pyproject.toml allows it. UV_CONSTRAINT=FILE holds versions back.
COMPILE := $(TOOLS)/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --only-binary :all: \
	--generate-hashes --no-header --no-annotate --quiet $(UPGRADE)
lock: $(TOOLS)/.installed
	$(COMPILE) --extra dev --extra scale -o requirements.lock
	$(COMPILE) --extra scale --constraint requirements.lock -o requirements-image.lock
	$(COMPILE:pyproject.toml=--group tools) -o requirements-tools.lock
	$(COMPILE:pyproject.toml=--group docs) -o requirements-docs.lock

# Moves the locks on to the newest versions that pyproject.toml allows, and runs what has failed under new versions before.
upgrade:
	$(MAKE) lock UPGRADE=--upgrade
	$(MAKE) audit lint test browser
	CHAOS_KILLS=3 $(BIN)/python -m pytest -m chaos tests/chaos/test_kills.py

clean:
	rm -rf $(VENV) $(TOOLS) $(DOCS) site *.egg-info .mypy_cache .ruff_cache .pytest_cache

# 16,000 made-up lines, URLs, headers and bodies; `make test` tries a few hundred.
fuzz: setup
	$(BIN)/python -m pytest --hypothesis-profile=fuzz tests/tasks tests/storage tests/model -k test_any_

# The attacks of docs/security.md, also from a page in Chromium where it is installed, then thousands of damaged inputs.
redteam: setup
	$(BIN)/python -m pytest -m attack
	$(BIN)/python -m pytest --hypothesis-profile=fuzz tests/tasks tests/storage tests/model -k test_any_

# docs/reference.md, from the code.
reference: setup
	$(BIN)/python docs/make_reference.py

# docs/img, from a run of the pipeline: some minutes; needs Debian's chromium and chromium-driver.
images: setup
	$(BIN)/python docs/make_images.py

# 50 kills of runs, workers and the server; a full disk, a bucket that refuses, a web that goes away, a clock that is set.
# An hour of two free cores.
chaos: setup
	CHAOS_KILLS=50 $(BIN)/python -m pytest -m chaos tests/chaos

# The service's pages as a person uses them, and the pages of the reports; needs Debian's chromium and chromium-driver.
browser: setup
	$(BIN)/python -m pytest -m browser tests/flows/service tests/flows/reports

# Three machines in network namespaces share a pipeline, and one is killed; as root, with what docs/guides/several-machines.md names.
scale: setup
	$(BIN)/python -m pytest -m scale tests/scale

# A service through 14 made days, a web that changes, kills, and a policy; what must not grow is measured each day. An hour of two cores.
# SOAK_DAYS=3 is the short form.
soak: setup
	$(BIN)/python -m pytest -m soak tests/soak
