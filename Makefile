# `make demo` and `make test` do all the set-up from a bare Python 3.11; both are safe to repeat. `make help` lists all.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs-installed
JOBS  ?= 2
DEMO  ?= runs/digits

# One thread a test worker: more only fight for the cores, and results are then repeatable to the bit.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-slow test-demo lint format types docs docs-write clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

# Made afresh or brought up to date when what is to be installed changes.
KERNELS := setup.py $(wildcard src/pushforward/kernels/csrc/*)

$(STAMP): pyproject.toml constraints.txt scripts/environment.sh $(KERNELS)
	@PYTHON="$(PYTHON)" sh scripts/environment.sh
	@touch $@

venv: $(STAMP)  ## make .venv with everything that is needed

demo: $(STAMP)  ## train Real NVP on 8 x 8 digits and write a report (minutes; replaces runs/digits)
	@echo "Training Real NVP on scikit-learn's handwritten digits; Ctrl-C stops early and keeps the best model."
	@$(BIN)/pushforward fit digits --out $(DEMO) --force
	@echo "Done. Open $(DEMO)/report.html in a browser, or ask the model:"
	@echo "  $(BIN)/pushforward sample $(DEMO) -n 64 --out digits.png"
	@echo "  $(BIN)/pushforward score $(DEMO) digits --part test --out scores.csv"

test: $(STAMP)  ## run the tests (some minutes)
	@$(PYTEST) -n $(JOBS) --dist loadgroup --no-loadscope-reorder

test-slow: $(STAMP)  ## run the tests that take longer than the ordinary suite allows
	@$(PYTEST) -m slow

test-demo: $(STAMP)  ## run the whole demo and check what it promises
	@$(PYTEST) -m demo

lint: $(STAMP)  ## check format and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(STAMP)  ## format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(STAMP)  ## check the types of the package, strictly
	@$(BIN)/mypy

# Sphinx and its theme, which only the site needs.
$(DOCS_STAMP): $(STAMP)
	@$(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@

docs: $(DOCS_STAMP)  ## build the documentation site in build/site, and check its links
	@rm -rf build/site
	@$(BIN)/python -m sphinx -q -W --keep-going -E -d build/doctrees docs build/site
	@$(BIN)/python scripts/check_site.py build/site
	@echo "Done. Open build/site/index.html in a browser."

docs-write: $(STAMP)  ## write the generated parts of docs/: the verification matrix, the table of parameters and the figures
	@PUSHFORWARD_WRITE_DOCS=1 $(PYTEST) tests/checks/test_matrix.py tests/golden/test_golden_real_nvp.py
	@OMP_NUM_THREADS=1 $(BIN)/python docs/figures.py

clean:  ## remove .venv and what tools left behind; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
