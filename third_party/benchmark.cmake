# SPDX-License-Identifier: Apache-2.0
# benchmark::benchmark, the system's Google Benchmark, else fetched when asked for: benchmarks are
# the one part of a developer's build that may be missing.
option(MRFCORE_FETCH_BENCHMARK "Download Google Benchmark where the system has none" OFF)
find_package(benchmark QUIET)
if(NOT benchmark_FOUND AND MRFCORE_FETCH_BENCHMARK)
  include(FetchContent)
  FetchContent_Declare(
    googlebenchmark
    URL https://github.com/google/benchmark/archive/refs/tags/v1.9.1.tar.gz
    URL_HASH SHA256=32131c08ee31eeff2c8968d7e874f3cb648034377dfc32a4c377fa8796d84981
    DOWNLOAD_EXTRACT_TIMESTAMP ON)
  set(BENCHMARK_ENABLE_TESTING OFF CACHE BOOL "" FORCE)
  set(BENCHMARK_ENABLE_INSTALL OFF CACHE BOOL "" FORCE)
  FetchContent_MakeAvailable(googlebenchmark)
endif()
