// SPDX-License-Identifier: Apache-2.0
#include "ops/dispatch.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#if defined(MRFCORE_HAVE_AVX2)
#include <cpuid.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif

#include "mrfcore/runtime.hpp"

namespace mrfcore {
namespace {

#if defined(MRFCORE_HAVE_AVX2)
/// Conversions to and from Float16. Not all compilers know the feature by name.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

bool supported(Isa isa) {
  switch (isa) {
    case Isa::Baseline:
      return true;
    case Isa::Avx2:
#if defined(MRFCORE_HAVE_AVX2)
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi2") && has_f16c();
#else
      return false;
#endif
    case Isa::Avx512:
#if defined(MRFCORE_HAVE_AVX512)
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
#else
      return false;
#endif
  }
  return false;
}

Isa best() {
  static const Isa isa =
      supported(Isa::Avx512) ? Isa::Avx512 : (supported(Isa::Avx2) ? Isa::Avx2 : Isa::Baseline);
  return isa;
}

/// The OpenMP runtime ends the process when the system refuses it a thread, so never ask for
/// thousands.
int at_most_sensible(int threads) {
#if defined(_OPENMP)
  return std::min(threads, std::max(64, 4 * omp_get_num_procs()));
#else
  return std::min(threads, 1);
#endif
}

/// Value of MRFCORE_CPU_ISA, null if it is not set.
const char* forced_isa() {
  const char* forced = std::getenv("MRFCORE_CPU_ISA");
  return forced == nullptr || *forced == '\0' ? nullptr : forced;
}

}  // namespace

const char* isa_name(Isa isa) {
  return isa == Isa::Avx512 ? "avx512" : (isa == Isa::Avx2 ? "avx2" : "baseline");
}

Isa active_isa() {
  const char* forced = forced_isa();
  if (forced == nullptr) return best();
  for (const Isa isa : {Isa::Baseline, Isa::Avx2, Isa::Avx512}) {
    if (std::strcmp(forced, isa_name(isa)) != 0) continue;
    if (supported(isa)) return isa;
    throw std::invalid_argument("MRFCORE_CPU_ISA=" + std::string(forced) +
                                ": this machine or this build does not have it; the best here is " +
                                isa_name(best()));
  }
  throw std::invalid_argument("MRFCORE_CPU_ISA=" + std::string(forced) +
                              ": expected baseline, avx2 or avx512");
}

int resolve_threads(int requested) {
  if (requested < 0) {
    throw std::invalid_argument("threads: expected a positive number or 0 for the default, got " +
                                std::to_string(requested));
  }
  if (requested > 0) return at_most_sensible(requested);
  const char* text = std::getenv("MRFCORE_NUM_THREADS");
  if (text != nullptr && *text != '\0') {
    int value = 0;
    const char* end = text + std::strlen(text);
    const auto parsed = std::from_chars(text, end, value);
    if (parsed.ec != std::errc() || parsed.ptr != end || value < 1) {
      throw std::invalid_argument("MRFCORE_NUM_THREADS=" + std::string(text) +
                                  ": expected a positive number");
    }
    return at_most_sensible(value);
  }
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

int worthwhile_threads(int threads, int64_t elements) {
  constexpr int64_t kParallelElements = 1 << 14;
  return elements < kParallelElements ? 1 : threads;
}

int threads_for(int64_t elements, int requested) {
  const int threads = resolve_threads(requested);
  return requested > 0 ? threads : worthwhile_threads(threads, elements);
}

template <class T>
const cpu::Kernels<T>& kernels_for(Isa isa) {
#if defined(MRFCORE_HAVE_AVX512)
  if (isa == Isa::Avx512) return cpu::avx512::kernels<T>();
#endif
#if defined(MRFCORE_HAVE_AVX2)
  if (isa == Isa::Avx2) return cpu::avx2::kernels<T>();
#endif
  static_cast<void>(isa);
  return cpu::baseline::kernels<T>();
}

template const cpu::Kernels<float>& kernels_for<float>(Isa);
template const cpu::Kernels<double>& kernels_for<double>(Isa);

template <class T>
const cpu::Kernels<T>& kernels_for_labels(int64_t labels) {
  Isa isa = active_isa();
  const auto padded = [labels](Isa i) {
    const int64_t lanes = kernels_for<T>(i).lanes;
    return (labels + lanes - 1) / lanes * lanes;
  };
  if (forced_isa() != nullptr) return kernels_for<T>(isa);
  if (isa == Isa::Avx512 && 2 * padded(Isa::Avx2) <= padded(isa)) isa = Isa::Avx2;
  if (isa == Isa::Avx2 && 2 * padded(Isa::Baseline) <= padded(isa)) isa = Isa::Baseline;
  return kernels_for<T>(isa);
}

template const cpu::Kernels<float>& kernels_for_labels<float>(int64_t);
template const cpu::Kernels<double>& kernels_for_labels<double>(int64_t);

std::string cpu_isa() { return isa_name(active_isa()); }
int default_threads() { return resolve_threads(0); }

}  // namespace mrfcore
