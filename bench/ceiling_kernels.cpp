// SPDX-License-Identifier: Apache-2.0
// Compiled once per instruction set, as cpp/cpu is.
#include <cstddef>
#include <cstdint>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "ceilings.hpp"
#include "cpu/simd.hpp"

#define MRF_TEXT(x) #x
#define MRF_NAME(x) MRF_TEXT(x)
#if defined(__x86_64__)
#define MRF_REGISTER "+v"
#else
#define MRF_REGISTER "+w"
#endif

namespace mrfcore::bench::MRF_ISA {
namespace {

using Vector = cpu::MRF_ISA::Vec<float>;
using cpu::MRF_ISA::kLanes;

// Enough independent minima to hide their latency, few enough for 16 registers.
constexpr std::size_t kAccumulators = 12;

#if MRF_VECTOR_BYTES == 64
inline Vector fused(Vector a, Vector b, Vector c) {
  return (Vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
#elif MRF_VECTOR_BYTES == 32
inline Vector fused(Vector a, Vector b, Vector c) {
  return (Vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
#else
inline Vector fused(Vector a, Vector b, Vector c) { return a * b + c; }
#endif

/// The empty assembly makes every operand unknown to the compiler without moving it to memory.
template <bool Fused>
inline void step(Vector& acc, Vector& h, Vector one, Vector v) {
  asm volatile("" : MRF_REGISTER(h));
  Vector sum;
  if constexpr (Fused) {
    sum = fused(h, one, v);
  } else {
    sum = h + v;
  }
  acc = cpu::MRF_ISA::vmin(acc, sum);
  asm volatile("" : MRF_REGISTER(acc));
}

// Accumulators are named by an index sequence: a loop over an array of them would be kept in
// memory.
template <bool Fused, std::size_t... I>
float min_plus_unrolled(int64_t steps, std::index_sequence<I...>) {
  Vector acc[kAccumulators];
  ((acc[I] = cpu::MRF_ISA::splat(1e9f) + static_cast<float>(I)), ...);
  Vector h = cpu::MRF_ISA::splat(1.0f);
  Vector one = h;
  Vector v = h + h;
  asm volatile("" : MRF_REGISTER(one), MRF_REGISTER(v));
  for (int64_t k = 0; k < steps; ++k) (step<Fused>(acc[I], h, one, v), ...);
  float total = 0.0f;
  ((total += acc[I][0]), ...);
  return total;
}

template <bool Fused>
float min_plus(int64_t steps) {
  return min_plus_unrolled<Fused>(steps, std::make_index_sequence<kAccumulators>());
}

template <std::size_t... I>
float multiply_add_unrolled(int64_t steps, std::index_sequence<I...>) {
  Vector acc[kAccumulators];
  ((acc[I] = cpu::MRF_ISA::splat(static_cast<float>(I))), ...);
  Vector h = cpu::MRF_ISA::splat(1.0f);
  Vector v = cpu::MRF_ISA::splat(0.5f);
  const auto one_step = [&](Vector& a) {
    asm volatile("" : MRF_REGISTER(h), MRF_REGISTER(v));
    a = fused(h, v, a);
    asm volatile("" : MRF_REGISTER(a));
  };
  for (int64_t k = 0; k < steps; ++k) (one_step(acc[I]), ...);
  float total = 0.0f;
  ((total += acc[I][0]), ...);
  return total;
}

float multiply_add(int64_t steps) {
  return multiply_add_unrolled(steps, std::make_index_sequence<kAccumulators>());
}

void copy(const float* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}

void update(float* a, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) a[i] *= factor;
}

}  // namespace

extern const CeilingKernels kKernels;
constinit const CeilingKernels kKernels = {MRF_NAME(MRF_ISA),
                                           static_cast<int64_t>(kAccumulators) * kLanes<float>,
                                           min_plus<false>,
                                           MRF_VECTOR_BYTES > 16 ? min_plus<true> : nullptr,
                                           multiply_add,
                                           copy,
                                           update};

}  // namespace mrfcore::bench::MRF_ISA
