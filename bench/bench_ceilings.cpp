// SPDX-License-Identifier: Apache-2.0
// Bandwidth and arithmetic that the solvers are measured against: nothing can be faster.
#include <benchmark/benchmark.h>

#include <string>

#include "ceilings.hpp"
#include "mrfcore/runtime.hpp"
#include "registration.hpp"

namespace mrfcore::bench {
namespace {

void min_plus(benchmark::State& state, float (*loop)(int64_t), int64_t pairs_per_step) {
  constexpr int64_t kSteps = 1'000'000;
  for (auto _ : state) benchmark::DoNotOptimize(loop(kSteps));
  state.counters["pairs/s"] = benchmark::Counter(static_cast<double>(kSteps * pairs_per_step),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

void stream(benchmark::State& state, Stream kind, int threads) {
  StreamArrays arrays(threads);
  int64_t bytes = 0;
  for (auto _ : state) bytes += arrays.pass(kind);
  state.SetBytesProcessed(bytes);
}

void add_stream(const char* name, Stream kind, int threads) {
  const std::string full = std::string("ceiling/") + name + "/threads:" + std::to_string(threads);
  benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& s) { stream(s, kind, threads); })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

void add_min_plus(const CeilingKernels& k, const char* form, float (*loop)(int64_t)) {
  const int64_t pairs = k.pairs_per_step;
  const std::string full = std::string("ceiling/") + form + "/" + k.isa;
  benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& s) {
    min_plus(s, loop, pairs);
  })->Unit(benchmark::kMillisecond);
}

}  // namespace

void register_ceilings() {
  add_stream("copy", Stream::Copy, 1);
  add_stream("update", Stream::Update, 1);
  if (default_threads() > 1) {
    add_stream("copy", Stream::Copy, default_threads());
    add_stream("update", Stream::Update, default_threads());
  }
  for (const CeilingKernels& k : ceiling_kernels()) {
    add_min_plus(k, "min_plus", k.min_plus);
    if (k.min_plus_fused != nullptr) add_min_plus(k, "min_plus_fused", k.min_plus_fused);
  }
}
}  // namespace mrfcore::bench
