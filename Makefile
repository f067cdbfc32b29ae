# SPDX-License-Identifier: Apache-2.0
# Every target makes what it needs: a virtual environment with the build tools (CMake and Ninja
# included), the package, the test tools. Stamps live inside the environment, so removing it
# forgets them too. Knobs: PYTHON=python3.12  VENV=.venv-3.12  JOBS=4  TORCH= (no torch)  CUDA=AUTO
PYTHON ?= python3
VENV ?= .venv
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# An optional partner of the tests (shared libgomp, torch tensors in and out); they skip without.
TORCH ?= torch==2.13.0
PYTEST_ARGS ?=
BENCH_ARGS ?=
# The GPU back-end takes nvcc some ten minutes: OFF here, AUTO (where nvcc is) for CI and for what
# users install with pip. Not from the environment, where CUDA is often a folder.
CUDA := OFF
# Empty: all that cuda/CMakeLists.txt lists. Fewer are sooner compiled: CUDA_ARCHITECTURES='90-real'
CUDA_ARCHITECTURES :=
# ThreadSanitizer must understand OpenMP's barriers: Clang with its runtime and libarcher does.
TSAN_CXX ?= clang++
# On CI the bindings, too, are compiled with warnings as errors.
PACKAGE_FLAGS := -C build-dir='build/wheel/{wheel_tag}' -C cmake.define.MRFCORE_CUDA=$(CUDA) \
  $(if $(CUDA_ARCHITECTURES),-C cmake.define.MRFCORE_CUDA_ARCHITECTURES='$(CUDA_ARCHITECTURES)') $(if $(CI), \
  -C cmake.define.MRFCORE_DEVELOPER=ON -C cmake.define.MRFCORE_BUILD_TESTS=OFF \
  -C cmake.define.MRFCORE_BUILD_BENCHMARKS=OFF)

BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
FIND_SOURCES = find $(1) -type f -not -path '*/__pycache__/*' -not -name '*.so'
SOURCES := $(shell $(call FIND_SOURCES,cpp cuda python third_party CMakeLists.txt pyproject.toml README.md))
CXX_FILES = $(shell find cpp python/bindings tests bench cuda -name '*.[ch]pp' -o -name '*.cu*')

.PHONY: help demo develop test cpp-test pytest consumer asan tsan lint format bench bench-quick \
        gpu-check dist clean
.DEFAULT_GOAL := help

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.package ## Install into .venv and run `mrfcore demo`: a picture and a table
	$(BIN)/mrfcore demo $(DEMO_ARGS)

test: cpp-test consumer asan pytest ## All tests: C++, consumer project, C++ under ASan and UBSan, Python

cpp-test: build/release/.built ## C++ tests, and the check of the symbols of each instruction set
	ctest --preset release -j $(JOBS)

pytest: $(VENV)/.test ## Python tests (PYTEST_ARGS="-k stereo")
	$(BIN)/python -m pytest $(PYTEST_ARGS)

consumer: build/release/.built ## Build and run tests/consumer against an installed tree
	rm -rf build/consumer
	cmake --install build/release --prefix build/consumer/prefix > /dev/null
	cmake -G Ninja -S tests/consumer -B build/consumer/build \
	  -DCMAKE_PREFIX_PATH="$(CURDIR)/build/consumer/prefix"
	cmake --build build/consumer/build
	build/consumer/build/consumer

asan: $(VENV)/.tools ## C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer
	cmake --preset asan && cmake --build --preset asan -j $(JOBS)
	ctest --preset asan -j $(JOBS)

tsan: $(VENV)/.tools ## C++ tests under ThreadSanitizer (see CONTRIBUTING.md)
	CXX=$(TSAN_CXX) cmake --preset tsan && cmake --build --preset tsan -j $(JOBS)
	ctest --preset tsan -j $(JOBS)

lint: $(VENV)/.lint ## clang-format, ruff and mypy, none of which changes a file
	@echo clang-format --dry-run -Werror
	@$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.lint ## Let clang-format and ruff rewrite the files
	$(BIN)/clang-format -i $(CXX_FILES)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: build/release/.built $(VENV)/.bench ## The benchmark, to bench/results (BENCH_ARGS="--only solvers")
	$(BIN)/python bench/all.py $(BENCH_ARGS)

bench-quick: build/release/.built $(VENV)/.bench ## The same in two minutes, small cases
	$(BIN)/python bench/all.py --quick $(BENCH_ARGS)

gpu-check: ## Build, tests, sanitizers, benchmarks on this machine's GPU (PARTS="build test", OUT=folder)
	$(PYTHON) tests/gpu_check.py $(if $(PARTS),--parts $(PARTS)) $(if $(OUT),--out '$(OUT)') \
	  $(GPU_CHECK_ARGS)

develop: $(VENV)/.tools ## Editable install: Python edits count at once, C++ edits after the next call
	$(PIP) install --no-build-isolation $(PACKAGE_FLAGS) -e '.[demo,test]'

dist: $(VENV)/.tools ## Source archive and wheel, into dist/
	$(PIP) install build && $(BIN)/python -m build

clean: ## Remove what was built, not the virtual environment
	rm -rf build dist

# --- stamps -------------------------------------------------------------------------------------

$(VENV)/.tools: Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install 'pip>=23.1' 'scikit-build-core>=0.11' 'nanobind>=2.4' 'cmake>=3.26' ninja
	touch $@

# Not editable: tests and demo see exactly what a user's `pip install .` gives. The build directory
# is kept, so only what changed is compiled again.
$(VENV)/.package: $(SOURCES) $(VENV)/.tools
	$(PIP) install --no-build-isolation $(PACKAGE_FLAGS) '.[demo]'
	touch $@

$(VENV)/.test: $(VENV)/.package
	$(PIP) install 'mrfcore[test]'
	test -z '$(TORCH)' || $(PIP) install '$(TORCH)' || echo 'No $(TORCH): its tests will be skipped'
	touch $@

$(VENV)/.lint: $(VENV)/.package
	$(PIP) install 'mrfcore[lint]'
	touch $@

$(VENV)/.bench: $(VENV)/.package
	$(PIP) install 'mrfcore[bench]'
	test -z '$(TORCH)' || $(PIP) install '$(TORCH)' || echo 'No $(TORCH): left out of the benchmark'
	$(PIP) install cython setuptools wheel && $(PIP) install --no-build-isolation --no-deps fast-slic \
	  || echo 'No fast-slic: left out of the benchmark'
	touch $@

.PHONY: build/release/.built
build/release/.built: $(VENV)/.tools
	cmake --preset release && cmake --build --preset release -j $(JOBS)
