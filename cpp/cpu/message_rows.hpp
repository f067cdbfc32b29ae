// SPDX-License-Identifier: Apache-2.0
// Rows of messages in memory: of the type they are computed in, or of 16 bits (MessageDtype).
// Conversions round to nearest, ties to even, to the same bits on every instruction set, whether or
// not the thread flushes subnormal numbers to zero. Messages are never negative (Eq 3.5).
#pragma once

#include "cpu/kernels.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

/// body.template operator()<M>() with what a volume of messages consists of.
template <class T, class Body>
inline void with_message_type(MessageDtype storage, const Body& body) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (storage == MessageDtype::Float16) return body.template operator()<Float16>();
    if (storage == MessageDtype::BFloat16) return body.template operator()<BFloat16>();
  }
  body.template operator()<T>();
}

namespace half {

template <int N>
struct VectorsOf {
  typedef float Values __attribute__((vector_size(4 * N)));
  typedef uint32_t Words __attribute__((vector_size(4 * N)));
  typedef uint16_t Kept __attribute__((vector_size(2 * N)));
};
template <int N>
using Values = typename VectorsOf<N>::Values;
template <int N>
using Words = typename VectorsOf<N>::Words;
template <int N>
using Kept = typename VectorsOf<N>::Kept;

/// N kept numbers as they are.
template <int N, class M>
inline Kept<N> bits_at(const M* p) {
  Kept<N> v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

template <int N>
inline Values<N> widened(Kept<N> kept, BFloat16) {
  return (Values<N>)(__builtin_convertvector(kept, Words<N>) << 16);
}

template <int N>
inline Kept<N> narrowed(Values<N> v, BFloat16) {
  const Words<N> bits = (Words<N>)v;
  return __builtin_convertvector((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, Kept<N>);
}

template <int N>
inline Values<N> widened(Kept<N> kept, Float16) {
#if MRF_VECTOR_BYTES == 64
  if constexpr (N == 16) return (Values<N>)_mm512_maskz_cvtph_ps(0xffff, (__m256i)kept);
#endif
#if MRF_VECTOR_BYTES > 16
  if constexpr (N == 8) return (Values<N>)_mm256_cvtph_ps((__m128i)kept);
  if constexpr (N == 4) return (Values<N>)_mm_cvtph_ps(_mm_cvtsi64_si128((long long)kept));
#endif
  // The exponent is 112 less than a float's. Numbers too small to have one of their own are whole
  // multiples of 2^-24.
  const Words<N> bits = __builtin_convertvector(kept, Words<N>), size = bits & 0x7fffu;
  const Values<N> small = __builtin_convertvector(size, Values<N>) * 0x1p-24f;
  const Words<N> value = size < 0x400u ? (Words<N>)small : (size << 13) + (112u << 23);
  return (Values<N>)(value | (bits & 0x8000u) << 16);
}

/// Larger numbers become the largest.
template <int N>
inline Kept<N> narrowed(Values<N> v, Float16) {
  v = vmin(v, static_cast<float>(kLargestFloat16) - Values<N>{});
#if MRF_VECTOR_BYTES == 64
  if constexpr (N == 16) {
    return (Kept<N>)_mm512_maskz_cvtps_ph(0xffff, (__m512)v,
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
#endif
#if MRF_VECTOR_BYTES == 32
  if constexpr (N == 8) return (Kept<N>)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
#endif
  const Words<N> bits = (Words<N>)v, sign = bits & 0x80000000u, size = bits ^ sign;
  // Below 2^-14 the adder rounds: the last bit of 0.5 + x is worth what Float16's is there.
  const Words<N> small = (Words<N>)((Values<N>)size + 0.5f) - 0x3f000000u;
  const Words<N> rounded = (size - (112u << 23) + 0xfffu + (size >> 13 & 1u)) >> 13;
  const Words<N> kept = size < (113u << 23) ? small : rounded;
  return __builtin_convertvector(kept | sign >> 16, Kept<N>);
}

}  // namespace half

/// Labels l, l + 1, ... of a message whose label l is at p.
template <class T, class M>
inline Vec<T> load_message(const M* p) {
  if constexpr (sizeof(M) == sizeof(T)) {
    return load(p);
  } else {
    return (Vec<T>)half::widened<kLanes<T>>(half::bits_at<kLanes<T>>(p), M{});
  }
}

/// Stores v; returns what load_message() will find there.
template <class T, class M>
inline Vec<T> keep_message(M* p, Vec<T> v) {
  if constexpr (sizeof(M) == sizeof(T)) {
    store(p, v);
    return v;
  } else {
    const auto kept = half::narrowed<kLanes<T>>((half::Values<kLanes<T>>)v, M{});
    std::memcpy(p, &kept, sizeof(kept));
    return (Vec<T>)half::widened<kLanes<T>>(kept, M{});
  }
}

/// A row of T, or of messages, in double.
template <class M>
inline Vec<double> load_widened(const M* p) {
  constexpr int kCount = kLanes<double>;
  if constexpr (sizeof(M) == 2) {
    return __builtin_convertvector(half::widened<kCount>(half::bits_at<kCount>(p), M{}),
                                   Vec<double>);
  } else {
    typedef M Narrow __attribute__((vector_size(sizeof(M) * kCount)));
    Narrow v;
    std::memcpy(&v, p, sizeof(v));
    return __builtin_convertvector(v, Vec<double>);
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
