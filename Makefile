# Needs Python >= 3.10 and make; everything else goes into .venv.
#
#   make demo    tune a quantum well, the example of the README
#   make gallery run every example; pictures go to build/gallery
#   make test    ruff, mypy and the whole test suite
#   make frontends   the tests of the front ends for JAX and PyTorch, whose CPU builds it installs
#   make lint    ruff and mypy only
#   make docs    the documentation, in docs/_build/html; warnings are errors
#   make coverage   the test suite with branch coverage, an error below what pyproject.toml asks for
#   make matrix  the test suite with the oldest and the newest dependencies, on every Python there is
#   make dist    source distribution and wheel, in dist/, each tried in an empty environment
#   make clean   remove .venv and everything generated
#
# GALLERY=docs/images where `make gallery` puts the pictures
# PYTHON=python3.13   the interpreter .venv is made with (after `make clean`)
# WORKERS=4           test processes
# CHECKS=             what `make test` runs besides pytest; empty: nothing
# TORCH=torch==2.14.0 the PyTorch that `make frontends` installs, as JAX does for jax (after `make clean`)
# PYTHONS="3.10 3.13" what `make matrix` tries

PYTHON  ?= python3
WORKERS ?= 2
CHECKS  ?= lint
GALLERY ?= build/gallery
# The build of PyTorch that this plain version names is one for the CPU alone on the package index that CI uses; others
# bring gigabytes of CUDA.
TORCH   ?= torch==2.13.0
JAX     ?= jax[cpu]

VENV := .venv
BIN  := $(VENV)/bin
# The stamps say which extras are installed; one older than pyproject.toml is out of date.
CREATED  := $(VENV)/.stamp-created
EXAMPLES := $(VENV)/.stamp-examples
TEST     := $(VENV)/.stamp-test
DOCS     := $(VENV)/.stamp-docs
FRONT    := $(VENV)/.stamp-frontends
DIST     := $(VENV)/.stamp-dist

# One BLAS thread per test process: the matrices are small, and threads of several processes would
# wait for each other.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 VECLIB_MAXIMUM_THREADS=1

.DELETE_ON_ERROR:
.PHONY: demo gallery test frontends lint ruff mypy docs coverage matrix dist clean

demo: $(EXAMPLES)
	$(BIN)/python examples/quantum_well.py

# Every example, from the simplest on, one after the other. The pictures are reduced to 256 colours.
gallery: $(EXAMPLES)
	@mkdir -p $(GALLERY)
	@for name in first_gradient quantum_well hear_the_string advection_diffusion plate photonic_crystal band_gap \
	    damped_structure spectral_clustering own_eigenpairs exceptional_point strongest_column what_goes_wrong; do \
	    printf '\n== %s\n' "examples/$$name.py"; \
	    (cd $(GALLERY) && $(CURDIR)/$(BIN)/python $(CURDIR)/examples/$$name.py) || exit $$?; \
	    $(BIN)/python -c "import sys; from PIL import Image; \
	        Image.open(sys.argv[1]).convert('RGB').quantize(256, kmeans=2).save(sys.argv[1], optimize=True)" \
	        $(GALLERY)/$$name.png || exit $$?; \
	done

# The tests run even where a check failed, so that one run shows everything.
test: $(TEST)
	@checks=ok; \
	if [ -n "$(strip $(CHECKS))" ]; then \
	    $(MAKE) --no-print-directory -k $(CHECKS) || checks=failed; \
	fi; \
	$(ONE_THREAD) MPLBACKEND=Agg $(BIN)/python -m pytest -n $(WORKERS) || exit $$?; \
	if [ $$checks = failed ]; then \
	    echo "The tests passed, but '$(CHECKS)' failed: see above the tests." >&2; exit 1; \
	fi

# The front ends that there are, one after the other: the tests of one run where another one's have failed.
frontends: $(FRONT)
	@failed=; \
	for tests in $(wildcard tests/front_jax tests/front_torch); do \
	    printf '\n== %s\n' "$$tests"; \
	    $(ONE_THREAD) MPLBACKEND=Agg $(BIN)/python -m pytest -n $(WORKERS) $$tests || failed="$$failed $$tests"; \
	done; \
	printf '\n== their documentation\n'; \
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) tests/docs/test_docstrings.py tests/docs/test_docs.py \
	    -k "jax or torch" || failed="$$failed documentation"; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

lint: ruff mypy

ruff: $(TEST)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

mypy: $(TEST)
	$(BIN)/python -m mypy

docs: $(DOCS)
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

coverage: $(TEST)
	$(ONE_THREAD) MPLBACKEND=Agg $(BIN)/python -m pytest -q -n $(WORKERS) --cov --cov-report=term-missing:skip-covered

matrix:
	WORKERS=$(WORKERS) .ci/matrix $(PYTHONS)

dist: $(DIST)
	rm -rf dist
	$(BIN)/python -m build --quiet
	.ci/try-dist $(PYTHON)

$(CREATED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "krylov_adj needs Python >= 3.10, and $(PYTHON) is not: make PYTHON=/path/to/python3.x" >&2; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(EXAMPLES): pyproject.toml $(CREATED)
	$(BIN)/python -m pip install --quiet --editable '.[examples]'
	@touch $@

# `test` comes with `examples`, since the tests run them (one install serves both stamps), and with `clients`, the
# packages of tests/clients. Where one of those cannot be had, the tests that need it are skipped.
$(TEST): pyproject.toml $(CREATED)
	$(BIN)/python -m pip install --quiet --editable '.[test,examples]'
	$(BIN)/python -m pip install --quiet --editable '.[clients]' || \
	    echo "Packages of the extra 'clients' could not be installed: their tests will be skipped." >&2
	@touch $(EXAMPLES) $@

$(FRONT): pyproject.toml $(TEST)
	$(BIN)/python -m pip install --quiet '$(JAX)' '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[jax,torch]'
	@touch $@

$(DOCS): pyproject.toml $(CREATED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

$(DIST): pyproject.toml $(CREATED)
	$(BIN)/python -m pip install --quiet build
	@touch $@

clean:
	rm -rf $(VENV) .matrix build dist *.egg-info docs/_build .coverage .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
