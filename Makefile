# Everything a person types. A fresh machine needs Python (3.11 or later), pip and make; nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROMPTS ?= "a snowman" "a beach at night"
SEED ?= 9

.DEFAULT_GOAL := help
.PHONY: help demo studio test lint docs format world-preview mini-report frontier reference readme-pictures studio-pictures bench bench-sdxl apt dist clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

# The stamps make a second call instant; a changed pyproject.toml or constraints.txt installs again.
# torch goes first and alone, so that nothing else can choose another version of it.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: $(VENV)/.installed  ## set up, then generate a triplet with the embedded model into outputs/demo
	$(BIN)/layerfusion generate $(PROMPTS) --seed $(SEED) --out outputs/demo --overwrite
	@echo "The pictures are in outputs/demo: foreground.png, background.png, blended.png, composite.png"

studio: $(VENV)/.installed  ## set up, then open the studio in a browser
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[studio]"
	$(BIN)/layerfusion studio

test: $(VENV)/.installed-dev  ## set up, then run every test
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/.installed-dev  ## ruff, mypy, who may import whom, lengths
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-logo
	$(BIN)/python -m tools.lengths
	$(BIN)/python -m tools.docs --check

docs: $(VENV)/.installed-dev  ## write options, switches, figures and the API into README and docs, from the code
	$(BIN)/python -m tools.docs

format: $(VENV)/.installed-dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

world-preview: $(VENV)/.installed-dev  ## sheets of pictures from the embedded model's world, into build/world (needs npm)
	$(BIN)/python -m recipes.mini.world.preview

# The probe that judges the embedded model is trained once, on the same world.
build/probe.safetensors: | $(VENV)/.installed-dev
	$(BIN)/python -m recipes.mini.probes --out $@

mini-report: $(VENV)/.installed-dev build/probe.safetensors  ## measure the embedded model, into docs/mini-report.md (needs npm)
	$(BIN)/python -m recipes.mini.report

frontier: $(VENV)/.installed-dev  ## measure every variant of the blend, into docs/frontier.md (needs npm; an hour)
	$(BIN)/python -m recipes.mini.frontier

reference: $(VENV)/.installed-dev  ## draw the embedded model's reference pictures anew, for a new model
	$(BIN)/python -m tests.models.reference

readme-pictures: $(VENV)/.installed-dev  ## draw the pictures of the README and the gallery anew, into docs/images
	$(BIN)/python -m recipes.mini.gallery --seed $(SEED)

studio-pictures: $(VENV)/.installed-dev  ## draw the pictures of the studio's page anew (needs chromium)
	$(BIN)/python -m tools.studio

bench: $(VENV)/.installed-dev  ## time whole triplets, the method's pieces and the layers; fails where a ratio grew by a tenth
	$(BIN)/python -m benchmarks.counted
	$(BIN)/python -m benchmarks.triplet
	$(BIN)/python -m benchmarks.triplet --growth --rounds 3
	$(BIN)/python -m benchmarks.pieces
	$(BIN)/python -m benchmarks.layers

bench-sdxl: $(VENV)/.installed-dev  ## SDXL's full size with random weights: needs 24 GB of memory, or a CUDA GPU
	$(BIN)/python -m benchmarks.sdxl

apt:  ## optional Debian packages that give some tests a second opinion
	apt-get update -qq && xargs -a tests/apt-packages.txt apt-get install -y -qq --no-install-recommends

dist: $(VENV)/.installed-dev  ## build the wheel and the source archive into dist/
	$(BIN)/python -m pip install --quiet build && $(BIN)/python -m build

clean:  ## remove the environment, the archives and the caches
	rm -rf $(VENV) dist .import_linter_cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
