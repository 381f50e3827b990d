# make run [IMAGE=my.jpg]   anonymize a photo into out/          make test      run the tests
# make test-lowest          with the lowest versions admitted
# make test-attack          hostile files, full disks, kills     make test-attack-long   a thousand of them, and memory
# make style                fix formatting                       make quality   check formatting, lint and types
# make space                the demo on this machine             make test-browser   it and the review, through headless Chromium
# make docs                 the site with these docs, in site/   make test-notebook  the notebook
# make build                wheel and sdist in dist/, checked
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
APT := DEBIAN_FRONTEND=noninteractive apt-get -o APT::Sandbox::User=root
IMAGE ?= $(shell $(BIN)/python -c "import skimage, pathlib; print(pathlib.Path(skimage.__file__).parent / 'data' / 'astronaut.png')" 2>/dev/null)

.PHONY: run test test-lowest test-slow test-hub test-scale test-browser test-attack test-attack-long test-notebook space docs build style quality clean

run: $(VENV)/.installed-run
	@echo "Anonymizing $(IMAGE) (the weights are in the package; it takes seconds)"
	@$(BIN)/ganon-hf anonymize "$(IMAGE)" -o out
	@echo "Look at out/$$(basename "$(IMAGE)")  (the original: $(IMAGE))"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow and not attack" $(ARGS)

# The Space is part of it, so gradio is installed. The long form takes other files (SEED) and SCALE times as many; docs/security.md has counts.
SEED ?= 2
SCALE ?= 4
test-attack: $(VENV)/.installed-browser
	$(BIN)/python -m pytest -m "attack and not slow" tests/attack $(ARGS)

test-attack-long: $(VENV)/.installed-browser
	GANON_ATTACK_SEED=$(SEED) GANON_ATTACK_SCALE=$(SCALE) $(BIN)/python -m pytest -m "attack or detection" -s tests/attack \
		tests/test_image_files_mutated.py $(ARGS)

# The same tests with the lowest versions that pyproject.toml admits. TORCH: 2.6 is the lowest, but its wheel for Linux brings gigabytes of
# CUDA. backports.strenum is required by ai-edge-litert, and its newest release is for Pythons before 3.11. fsspec is what the lowest datasets
# takes; left to itself the resolver prefers a newer fsspec and gives up the lowest datasets.
TORCH ?= 2.13.0
LOWEST := .venv-lowest
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -m "not slow" $(ARGS)

$(LOWEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip compile --quiet --no-header --no-annotate --resolution lowest-direct --extra dev --python $(LOWEST)/bin/python \
		--constraint <(printf 'torch==$(TORCH)\nbackports.strenum<1.3\nfsspec==2026.2.0\n') --output-file $(LOWEST)/versions.txt pyproject.toml
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/versions.txt -e ".[dev]"
	@touch $@

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow $(ARGS)

# Exports, publishes to a stand-in of the Hub, downloads and uses it: two minutes.
test-hub: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "slow and hub" tests/hub $(ARGS)

# Ray with two actors, one of them killed; `datasets` in two processes.
test-scale: $(VENV)/.installed-scale
	$(BIN)/python -m pytest -m scale tests/bulk/test_ray_job.py $(ARGS)

test-browser: $(VENV)/.installed-browser
	@command -v chromium >/dev/null || { $(APT) update -qq && $(APT) install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| echo "chromium could not be installed (on Debian or Ubuntu that needs root): the browser tests will be skipped"
	$(BIN)/python -m pytest -m browser tests/spaces/browser tests/review/browser $(ARGS)

# Its tab "How private is it" shows the report in the package; REPORT=runs/report/report.json another.
space: $(VENV)/.installed-browser
	cd spaces && GANON_REPORT=$(abspath $(or $(REPORT),src/ganon_hf/card/report.json)) ../$(BIN)/python app.py

# Strict: a link that leads nowhere, a page outside the menu or a docstring that cannot be read is an error.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet $(ARGS)

test-notebook: $(VENV)/.installed-docs
	$(BIN)/python -m pytest -m notebook tests/docs/test_notebook.py $(ARGS)

build: $(VENV)/.installed-release
	rm -rf build dist
	$(BIN)/python -m build --quiet
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python scripts/maintain/check_distributions.py dist

style: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

quality: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf out build dist site src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an install runs once, and again only when what it installs from has changed.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info[:2] >= (3, 11) else "ganon-hf needs Python 3.11 or newer, but $(PYTHON) is %d.%d: make PYTHON=python3.13 ..." % sys.version_info[:2])'
	@echo "Making $(VENV) and filling it, once: that downloads torch and takes minutes. (A CPU is enough; on Linux PyPI's torch brings gigabytes of"
	@echo "CUDA, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make ... takes the small one.)"
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import pip, sys; old = sys.version_info >= (3, 13) and tuple(map(int, pip.__version__.split(".")[:2])) < (24, 1); sys.exit("pip %s is too old for Python %d.%d: its files need 24.1 or newer. Run $(BIN)/python -m ensurepip --upgrade, then make again." % (pip.__version__, *sys.version_info[:2]) if old else None)'
	@touch $@

$(VENV)/.installed-run: pyproject.toml constraints.txt | $(VENV)/.created
	$(PIP) -e . scikit-image
	@touch $@

$(VENV)/.installed-browser: pyproject.toml constraints.txt | $(VENV)/.created
	$(PIP) -e ".[browser]"
	@touch $@ $(VENV)/.installed-dev $(VENV)/.installed-run

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/.created
	$(PIP) -e ".[dev,docs]"
	@touch $@ $(VENV)/.installed-dev $(VENV)/.installed-run

$(VENV)/.installed-release: pyproject.toml constraints.txt | $(VENV)/.created
	$(PIP) build twine
	@touch $@

$(VENV)/.installed-scale: pyproject.toml constraints.txt | $(VENV)/.created
	$(PIP) -e ".[dev,scale]"
	@touch $@ $(VENV)/.installed-dev $(VENV)/.installed-run

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.created
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.installed-run
