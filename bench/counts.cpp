// SPDX-License-Identifier: Apache-2.0
// Instructions of fixed pieces of work, on one thread, under callgrind:
//
//   valgrind --tool=callgrind --callgrind-out-file=counts.out mrfcore_counts
//
// Every piece runs once before it is counted, so that memory, threads and tables are there.
// bench/instruction_counts.py runs this and compares.
#include <valgrind/callgrind.h>

#include <cstdio>

#include "counts.hpp"
#include "mrfcore/runtime.hpp"

int main() {
  std::vector<mrfcore::bench::CountedWork> all = mrfcore::bench::counted_solvers();
  for (auto& work : mrfcore::bench::counted_operators()) all.push_back(std::move(work));
  for (const auto& work : all) {
    work.run();
    CALLGRIND_ZERO_STATS;
    work.run();
    CALLGRIND_DUMP_STATS_AT(work.name.c_str());
  }
  std::printf("{\"compiler\": \"%s\", \"isa\": \"%s\"}\n", __VERSION__, mrfcore::cpu_isa().c_str());
  return 0;
}
