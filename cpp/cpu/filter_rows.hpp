// SPDX-License-Identifier: Apache-2.0
// Rows of filters in the four types they are stored in, brought to float or double and back, and
// the exponential of a row. Conversions are exact or rounded to nearest even, in integers, so that
// every instruction set gives the same bits.
#pragma once

#include <cstdint>
#include <cstring>

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
inline Vec<float> exponential(Vec<float> x) {
  using Bits = BitsOf<4>::type;
  const Vec<float> lowest = splat(-87.0F), round = splat(12582912.0F);  // 1.5 * 2^23
  const Vec<float> clipped = x < lowest ? lowest : x;
  const Vec<float> shifted = clipped * 1.44269504F + round;
  const Vec<float> n = shifted - round;
  const Vec<float> r = (clipped - n * 0.693359375F) + n * 2.12194440e-4F;
  Vec<float> p = splat(1.0F / 720.0F);
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const Bits power = ((Bits)shifted << 23) + (127U << 23);  // `round` ends in nine zero bits
  return x < lowest ? Vec<float>{} : p * (Vec<float>)power;
}

inline Vec<double> exponential(Vec<double> x) {
  using Bits = BitsOf<8>::type;
  const Vec<double> lowest = splat(-700.0), round = splat(6755399441055744.0);  // 1.5 * 2^52
  const Vec<double> clipped = x < lowest ? lowest : x;
  const Vec<double> shifted = clipped * 1.4426950408889634 + round;
  const Vec<double> n = shifted - round;
  const Vec<double> r = (clipped - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  Vec<double> p = splat(1.0);
  for (int k = 13; k >= 1; --k) p = p * r * (1.0 / k) + 1.0;
  const Bits power = ((Bits)shifted << 52) + (uint64_t{1023} << 52);
  return x < lowest ? Vec<double>{} : p * (Vec<double>)power;
}

/// row[i] = exp(row[i] - peak[i]), i < n; rows need no padding.
template <class T>
inline void exponential_row(T* row, const T* peak, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    store(row + i, exponential(load(row + i) - load(peak + i)));
  }
  if (i == n) return;
  T rest[kLanes<T>] = {}, top[kLanes<T>] = {};
  for (int64_t j = i; j < n; ++j) rest[j - i] = row[j];
  for (int64_t j = i; j < n; ++j) top[j - i] = peak[j];
  store(rest, exponential(load(rest) - load(top)));
  for (int64_t j = i; j < n; ++j) row[j] = rest[j - i];
}

}  // namespace mrfcore::cpu::MRF_ISA
