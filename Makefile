# Everything a developer or a new user types. `make` alone prints this list.
#
# On a machine with Rust (>= 1.89), Python (>= 3.11) and make, `make demo` and `make test` set up
# all they need inside this clone (.venv, target); nothing else is touched.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PATH := $(CURDIR)/$(BIN):$(PATH)

RUST_SOURCES := $(shell find rust -type f \( -name '*.rs' -o -name Cargo.toml \)) Cargo.toml Cargo.lock
PYTHON_CODE  := python tests benches/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test quick lint rust-test python-test fmt bench bench-full parity turbojpeg avx512 hostile torture fuzz lock docs clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- set-up ---------------------------------------------------------------------------------

# Hash-locked packages: first uv (small), then everything else with it (fast, cached).
$(VENV)/.packages: requirements/bootstrap.lock requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.lock
	@touch $@

# The extension in release mode, the Python packages editable.
$(VENV)/.extension: $(VENV)/.packages $(RUST_SOURCES) pyproject.toml
	@command -v cargo >/dev/null || { echo 'cargo is needed (Rust >= 1.89)' >&2; exit 1; }
	$(BIN)/maturin develop --release --locked --uv --quiet
	@touch $@

setup: $(VENV)/.extension ## set up .venv with the locked packages and the built extension

# ---- the two promises -----------------------------------------------------------------------

demo: setup ## synthetic fundus images -> shards -> a short DDP training on the CPU -> HTML report
	@bash scripts/demo.sh

test: lint rust-test python-test ## every check and test

quick: setup ## the tests that take seconds
	$(BIN)/python -m pytest -q -m 'not slow and not distributed and not slurm'

# ---- parts of `make test` ---------------------------------------------------------------------

lint: setup ## cargo fmt, clippy, rustdoc, ruff, mypy, stubtest
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet -p medprep-core
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/stubtest medprep._core

rust-test: ## cargo test (needs no Python)
	cargo test --locked --quiet

python-test: setup ## pytest
	$(BIN)/python -m pytest

# ---- while working ----------------------------------------------------------------------------

fmt: setup ## format everything
	cargo fmt --all
	$(BIN)/ruff check --fix --quiet $(PYTHON_CODE)
	$(BIN)/ruff format --quiet $(PYTHON_CODE)

# BENCH_DATA=../shared/data takes the real images there; generated ones without it.
COMPARE = $(BIN)/python benches/python/compare.py $(if $(BENCH_DATA),--data $(BENCH_DATA))

bench: setup ## every cargo bench, and a short comparison with OpenCV, Dask and others
	cargo bench --locked
	$(COMPARE) --short --out runs/bench

bench-full: setup ## the same with the whole comparison, into docs/performance.md
	cargo bench --locked
	$(COMPARE) --out runs/bench-full --update docs/performance.md

parity: setup ## thousands of random images and parameters against the installed OpenCV
	PYTHONPATH=tests $(BIN)/python tests/parity/run_parity.py

turbojpeg: ## the JPEG decoders against C libjpeg-turbo (needs cmake and nasm, which build it)
	@for tool in cmake nasm; do command -v $$tool >/dev/null || { echo "make turbojpeg needs $$tool to build libjpeg-turbo: install it with the system's packages" >&2; exit 1; }; done
	cargo test --locked -p medprep-core --features turbojpeg --test turbojpeg

avx512: ## the AVX-512 kernels on an emulated CPU, where the real one lacks it (Debian; 20 to 40 min)
	@bash scripts/avx512.sh

hostile: setup ## 10,000 damaged and lying files, one by one and through both kernels
	$(BIN)/python tests/hostile/run_hostile.py --count 10000

torture: setup ## kill training runs inside 130 of their saves; they must end with the undisturbed bits
	cd tests/medtrain && ../../$(BIN)/python torture.py --kills 100
	cd tests/medtrain && ../../$(BIN)/python torture.py --kills 30 --strategy fsdp --procs 2

fuzz: ## fuzz the JPEG, PNG and DICOM decoders and the inflate, 60 s each (needs nightly Rust and cargo-fuzz)
	@cargo +nightly --version >/dev/null 2>&1 || { echo 'make fuzz needs a nightly Rust: rustup toolchain install nightly' >&2; exit 1; }
	@cargo fuzz --version >/dev/null 2>&1 || { echo 'make fuzz needs cargo-fuzz: cargo install --locked cargo-fuzz' >&2; exit 1; }
	@cp Cargo.lock fuzz/Cargo.lock # the versions of the product; cargo adds what only the fuzzer needs
	$(PYTHON) fuzz/seeds.py
	for target in jpeg png dicom inflate; do cargo +nightly fuzz run $$target -- -max_total_time=60 -max_len=65536 || exit; done

lock: $(VENV)/.packages ## resolve requirements/*.lock and Cargo.lock anew
	cd requirements && ../$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header bootstrap.in -o bootstrap.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --all-extras pyproject.toml -o requirements/dev.lock
	cargo update

clean: ## remove what the other targets made, the environment included
	rm -rf $(VENV) target demo dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f python/medprep/*.so
