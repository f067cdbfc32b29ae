// SPDX-License-Identifier: Apache-2.0
// Rows of filters in the four types they are stored in, brought to float or double and back, and
// the exponential of a row. Conversions are exact or rounded to nearest even, in integers, so that
// every instruction set gives the same bits.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

template <class T>
inline constexpr T kInfinite = T(__builtin_inf());
template <class T>
inline constexpr T kLargest = sizeof(T) == 4 ? T(__FLT_MAX__) : T(__DBL_MAX__);

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

inline uint32_t bits_of(float x) {
  uint32_t b;
  std::memcpy(&b, &x, sizeof(b));
  return b;
}
inline float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

inline float widen(float x) { return x; }
inline double widen(double x) { return x; }
inline float widen(BFloat16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }
inline float widen(Float16 x) {
  constexpr uint32_t kRebias = 112U << 23, kLowest = 113U << 23;  // 2^-14, the smallest normal one
  const uint32_t half = x.bits;
  const uint32_t magnitude = (half & 0x7fffU) << 13;
  const uint32_t normal = magnitude + kRebias;
  // Subnormal numbers: as the fraction of a normal one, less its leading 1; no float32 subnormals.
  const uint32_t small = bits_of(float_of(magnitude + kLowest) - float_of(kLowest));
  const uint32_t large = half & 0x7c00U ? normal : small;
  const uint32_t value = (half & 0x7c00U) == 0x7c00U ? normal + kRebias : large;
  return float_of(value | (half & 0x8000U) << 16);
}

inline void narrow(float x, float& to) { to = x; }
inline void narrow(double x, double& to) { to = x; }
inline void narrow(float x, BFloat16& to) {
  const uint32_t bits = bits_of(x);
  const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const bool nan = (bits & 0x7fffffffU) > 0x7f800000U;
  to.bits = static_cast<uint16_t>(nan ? (bits >> 16) | 0x40U : rounded);
}
inline void narrow(float x, Float16& to) {
  const uint32_t bits = bits_of(x);
  const uint32_t magnitude = bits & 0x7fffffffU;
  // Below 2^-14: adding 0.5 leaves the number in the last bits, rounded.
  const uint32_t small = bits_of(float_of(magnitude) + 0.5F) - bits_of(0.5F);
  const uint32_t normal = (magnitude - (112U << 23) + 0xfffU + ((magnitude >> 13) & 1U)) >> 13;
  const uint32_t finite = magnitude < (113U << 23) ? small : normal;
  const uint32_t special = magnitude > 0x7f800000U ? 0x7e00U : 0x7c00U;
  const uint32_t value = magnitude >= (143U << 23) ? special : finite;
  to.bits = static_cast<uint16_t>(value | (bits >> 16 & 0x8000U));
}

/// dst[0..n) = src[0..n)
template <class T, class F>
inline void widen_row(const F* src, int64_t n, T* dst) {
  for (int64_t i = 0; i < n; ++i) dst[i] = widen(src[i]);
}
template <class T, class F>
inline void narrow_row(const T* src, int64_t n, F* dst) {
  for (int64_t i = 0; i < n; ++i) narrow(src[i], dst[i]);
}

template <class T>
inline void fill(T* row, int64_t n, T value) {
  for (int64_t i = 0; i < n; ++i) row[i] = value;
}

template <class T>
inline void copy(const T* from, int64_t n, T* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}

template <class T>
inline void prefetch_row(const T* row, int64_t n) {
  for (int64_t i = 0; i < n; i += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + i);
}

template <int Bytes>
struct BitsOf;
template <>
struct BitsOf<4> {
  typedef uint32_t type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct BitsOf<8> {
  typedef uint64_t type __attribute__((vector_size(kVectorBytes)));
};

/// core::exp_nonpositive of every lane, but NaN stays NaN, and NaN is not converted to an integer.
/// Several vectors go through it side by side: one alone is a chain of 20 operations, of which too
/// few fit a processor's window to fill its units.
template <int kCount>
inline void exponential(Vec<float> (&x)[kCount]) {
  using Bits = BitsOf<4>::type;
  const Vec<float> lowest = splat(-87.0F), round = splat(12582912.0F);  // 1.5 * 2^23
  Vec<float> r[kCount], p[kCount], power[kCount];
  for (int i = 0; i < kCount; ++i) {
    const Vec<float> clipped = lowest > x[i] ? lowest : x[i];
    const Vec<float> shifted = clipped * 1.44269504F + round;
    const Vec<float> n = shifted - round;
    r[i] = (clipped - n * 0.693359375F) + n * 2.12194440e-4F;
    power[i] = (Vec<float>)(((Bits)shifted << 23) + (127U << 23));  // `round` ends in nine zeros
    p[i] = splat(1.0F / 720.0F);
  }
  for (const float c : {1.0F / 120.0F, 1.0F / 24.0F, 1.0F / 6.0F, 0.5F, 1.0F, 1.0F}) {
    for (int i = 0; i < kCount; ++i) p[i] = p[i] * r[i] + c;
  }
  for (int i = 0; i < kCount; ++i) x[i] = x[i] < lowest ? Vec<float>{} : p[i] * power[i];
}

template <int kCount>
inline void exponential(Vec<double> (&x)[kCount]) {
  using Bits = BitsOf<8>::type;
  const Vec<double> lowest = splat(-700.0), round = splat(6755399441055744.0);  // 1.5 * 2^52
  Vec<double> r[kCount], p[kCount], power[kCount];
  for (int i = 0; i < kCount; ++i) {
    const Vec<double> clipped = lowest > x[i] ? lowest : x[i];
    const Vec<double> shifted = clipped * 1.4426950408889634 + round;
    const Vec<double> n = shifted - round;
    r[i] = (clipped - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    power[i] = (Vec<double>)(((Bits)shifted << 52) + (uint64_t{1023} << 52));
    p[i] = splat(1.0);
  }
  for (int k = 13; k >= 1; --k) {
    for (int i = 0; i < kCount; ++i) p[i] = p[i] * r[i] * (1.0 / k) + 1.0;
  }
  for (int i = 0; i < kCount; ++i) x[i] = x[i] < lowest ? Vec<double>{} : p[i] * power[i];
}

inline Vec<float> exponential(Vec<float> x) {
  Vec<float> one[1] = {x};
  exponential(one);
  return one[0];
}

/// to[x] = exp(from[x] - peak[x]) of kCount vectors.
template <int kCount, class T>
inline void exponential_step(const T* from, const T* peak, T* to) {
  Vec<T> v[kCount];
  for (int i = 0; i < kCount; ++i) v[i] = load(from + i * kLanes<T>) - load(peak + i * kLanes<T>);
  exponential(v);
  for (int i = 0; i < kCount; ++i) store(to + i * kLanes<T>, v[i]);
}

/// to[i] = exp(from[i] - peak[i]), i < n; rows need no padding, `to` may be `from`.
template <class T>
inline void exponential_row(const T* from, const T* peak, int64_t n, T* to) {
  int64_t i = 0;
  for (; i + 4 * kLanes<T> <= n; i += 4 * kLanes<T>)
    exponential_step<4>(from + i, peak + i, to + i);
  for (; i + kLanes<T> <= n; i += kLanes<T>) exponential_step<1>(from + i, peak + i, to + i);
  if (i == n) return;
  T rest[kLanes<T>] = {}, top[kLanes<T>] = {};
  for (int64_t j = i; j < n; ++j) rest[j - i] = from[j];
  for (int64_t j = i; j < n; ++j) top[j - i] = peak[j];
  exponential_step<1>(rest, top, rest);
  for (int64_t j = i; j < n; ++j) to[j] = rest[j - i];
}

}  // namespace mrfcore::cpu::MRF_ISA
