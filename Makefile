# The two commands that matter: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINUTES ?= 10

.PHONY: install run test lint sbom matrix mutants bench soak lock clean

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@

install: $(VENV)/.installed      ## the program's libraries, in .venv

run: $(VENV)/.installed          ## the app as in production, on the demo provider without credentials
	$(BIN)/gunicorn web_app:app

test: $(VENV)/.installed-dev     ## everything; REQUIRE_ALL=1 turns skips into failures
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 5

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive .

sbom: $(VENV)/.installed-dev     ## every library with version and hash, as CycloneDX, in dist/sbom.json
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.json requirements.txt

matrix: $(VENV)/.installed-dev   ## every fault at a share of the calls, judged by the ledger, as a table
	$(BIN)/python tests/tools/fault_matrix.py

mutants: $(VENV)/.installed-dev  ## faults written into the money core, or into MODULE (SAMPLE=250 of them): do its tests notice?
	$(BIN)/python tests/tools/mutants.py $(MODULE)

soak: $(VENV)/.installed-dev     ## kills, stops, locks and changing faults for MINUTES, judged by the ledger; KIND=cluster SEED=1
	$(BIN)/python tests/tools/soak.py $(KIND) $(MINUTES) $(SEED)

bench: $(VENV)/.installed-dev    ## the table of ratios; see benchmarks/README.md
	$(BIN)/python -m benchmarks

lock:                            ## pin the requirements again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q requirements.in -o requirements.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf $(VENV) dist .mutants .mypy_cache .ruff_cache .pytest_cache
