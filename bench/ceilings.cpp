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

namespace {

/// Steps of all threads per second. One thread: of its processor time, which others at work disturb
/// least.
double steps_per_second(float (*loop)(int64_t), int threads) {
  constexpr int64_t kSteps = 4'000'000;
  const Elapsed t = fastest([&] {
    on_threads(threads, threads, [&](int64_t, int64_t) {
      volatile float sink = loop(kSteps);
      static_cast<void>(sink);
    });
  });
  return static_cast<double>(kSteps * threads) / (threads == 1 ? t.cpu : t.wall);
}

}  // namespace

double min_plus_pairs_per_second(const CeilingKernels& kernels, int threads) {
  double best = steps_per_second(kernels.min_plus, threads);
  if (kernels.min_plus_fused != nullptr) {
    best = std::max(best, steps_per_second(kernels.min_plus_fused, threads));
  }
  return best * static_cast<double>(kernels.pairs_per_step);
}

double multiply_adds_per_second(const CeilingKernels& kernels, int threads) {
  return steps_per_second(kernels.multiply_add, threads) *
         static_cast<double>(kernels.pairs_per_step);
}

StreamArrays::StreamArrays(int64_t elements)
    : a_(static_cast<std::size_t>(elements), 1.0f), b_(static_cast<std::size_t>(elements), 2.0f) {}

double StreamArrays::bytes_per_second(const CeilingKernels& kernels, Stream kind, int threads) {
  const auto n = static_cast<int64_t>(a_.size());
  const Elapsed t = fastest([&] {
    on_threads(threads, n, [&](int64_t begin, int64_t count) {
      if (kind == Stream::Copy) {
        kernels.copy(a_.data() + begin, b_.data() + begin, count);
      } else {
        kernels.update(a_.data() + begin, -1.0f, count);
      }
    });
  });
  const auto bytes = static_cast<double>(2 * n) * sizeof(float);
  return bytes / (threads == 1 ? t.cpu : t.wall);
}

}  // namespace mrfcore::bench
