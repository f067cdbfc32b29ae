// SPDX-License-Identifier: Apache-2.0
#include "ceilings.hpp"

#include <algorithm>

#include "instance.hpp"

namespace mrfcore::bench {

#define MRF_DECLARE_CEILINGS(isa)       \
  namespace isa {                       \
  extern const CeilingKernels kKernels; \
  }
MRF_DECLARE_CEILINGS(baseline)
MRF_DECLARE_CEILINGS(avx2)
MRF_DECLARE_CEILINGS(avx512)
#undef MRF_DECLARE_CEILINGS

namespace {

constexpr int kRepetitions = 7;

template <class Work>
Elapsed fastest(const Work& work) {
  Elapsed best{1e30, 1e30};
  for (int k = 0; k < kRepetitions; ++k) {
    const Stopwatch watch;
    work();
    const Elapsed t = watch.elapsed();
    best = {std::min(best.wall, t.wall), std::min(best.cpu, t.cpu)};
  }
  return best;
}

/// body(begin, count) on an equal share of n for each thread.
template <class Body>
void on_threads(int threads, int64_t n, const Body& body) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t) {
    const int64_t begin = n * t / threads;
    body(begin, n * (t + 1) / threads - begin);
  }
}

}  // namespace

std::vector<CeilingKernels> ceiling_kernels() {
  std::vector<CeilingKernels> all{baseline::kKernels};
#if defined(MRFCORE_BENCH_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    all.push_back(avx2::kKernels);
  }
#endif
#if defined(MRFCORE_BENCH_AVX512)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
    all.push_back(avx512::kKernels);
  }
#endif
  return all;
}

double min_plus_pairs_per_second(const CeilingKernels& kernels) {
  constexpr int64_t kSteps = 4'000'000;
  volatile float sink = 0.0f;
  double best = fastest([&] { sink = kernels.min_plus(kSteps); }).cpu;
  if (kernels.min_plus_fused != nullptr) {
    best = std::min(best, fastest([&] { sink = kernels.min_plus_fused(kSteps); }).cpu);
  }
  static_cast<void>(sink);
  return static_cast<double>(kSteps * kernels.pairs_per_step) / best;
}

StreamArrays::StreamArrays(int threads, int64_t elements)
    : kernels_(ceiling_kernels().back()),
      threads_(threads),
      a_(static_cast<std::size_t>(elements), 1.0f),
      b_(static_cast<std::size_t>(elements), 2.0f) {}

int64_t StreamArrays::pass(Stream kind) {
  const auto n = static_cast<int64_t>(a_.size());
  on_threads(threads_, n, [&](int64_t begin, int64_t count) {
    if (kind == Stream::Copy) {
      kernels_.copy(a_.data() + begin, b_.data() + begin, count);
    } else {
      kernels_.update(a_.data() + begin, -1.0f, count);
    }
  });
  return 2 * n * static_cast<int64_t>(sizeof(float));
}

double stream_bytes_per_second(Stream kind, int threads) {
  StreamArrays arrays(threads);
  int64_t bytes = 0;
  const Elapsed t = fastest([&] { bytes = arrays.pass(kind); });
  return static_cast<double>(bytes) / (threads == 1 ? t.cpu : t.wall);
}

}  // namespace mrfcore::bench
