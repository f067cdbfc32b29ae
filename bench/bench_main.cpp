// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include "registration.hpp"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  mrfcore::bench::register_ceilings();
  mrfcore::bench::register_solvers();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
