// SPDX-License-Identifier: Apache-2.0
// CUDA's device functions without side effects on other threads, and atomics, which need none: one
// thread runs at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

// NOLINTBEGIN: names are CUDA's

// Rounded once, never fused or split by the compiler (sources are compiled with -ffp-contract=off).
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }

inline int __float_as_int(float a) { return std::bit_cast<int>(a); }
inline unsigned __float_as_uint(float a) { return std::bit_cast<unsigned>(a); }
inline float __int_as_float(int a) { return std::bit_cast<float>(a); }
inline float __uint_as_float(unsigned a) { return std::bit_cast<float>(a); }
inline long long __double_as_longlong(double a) { return std::bit_cast<long long>(a); }
inline double __longlong_as_double(long long a) { return std::bit_cast<double>(a); }
inline int __float2int_rn(float a) { return static_cast<int>(std::nearbyint(a)); }
inline int __float2int_rd(float a) { return static_cast<int>(std::floor(a)); }
inline int __float2int_rz(float a) { return static_cast<int>(a); }

inline int __popc(unsigned a) { return std::popcount(a); }
inline int __popcll(unsigned long long a) { return std::popcount(a); }
inline int __clz(int a) { return std::countl_zero(static_cast<unsigned>(a)); }
inline int __clzll(long long a) { return std::countl_zero(static_cast<unsigned long long>(a)); }
inline int __ffs(int a) { return a == 0 ? 0 : std::countr_zero(static_cast<unsigned>(a)) + 1; }
inline int __ffsll(long long a) {
  return a == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(a)) + 1;
}
inline unsigned __brev(unsigned a) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (a >> bit & 1U) << (31 - bit);
  return reversed;
}
// Four bytes picked from the eight of b:a.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const std::uint64_t bytes = (std::uint64_t{b} << 32) | a;
  unsigned picked = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const auto byte = static_cast<unsigned>(bytes >> (8 * (selector >> (4 * i) & 7U)) & 0xFFU);
    picked |= ((selector >> (4 * i) & 8U) ? ((byte >> 7) * 0xFFU) : byte) << (8 * i);
  }
  return picked;
}

// Mixed signs are ambiguous here, though CUDA takes them: they are mistakes.
#define EMULATOR_MINIMUM(T)                        \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
EMULATOR_MINIMUM(int)
EMULATOR_MINIMUM(unsigned)
EMULATOR_MINIMUM(long)
EMULATOR_MINIMUM(unsigned long)
EMULATOR_MINIMUM(long long)
EMULATOR_MINIMUM(unsigned long long)
#undef EMULATOR_MINIMUM
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
inline float rsqrtf(float a) { return 1.0F / std::sqrt(a); }

namespace emulator {

// Applies f to each of the 32 / Bits lanes of two words.
template <unsigned Bits, class F>
unsigned each_lane(unsigned a, unsigned b, F f) {
  constexpr unsigned kMask = (1U << Bits) - 1;
  unsigned result = 0;
  for (unsigned shift = 0; shift < 32; shift += Bits) {
    result |= (f(a >> shift & kMask, b >> shift & kMask) & kMask) << shift;
  }
  return result;
}

template <unsigned Bits>
unsigned add_saturated(unsigned a, unsigned b) {
  return each_lane<Bits>(a, b,
                         [](unsigned x, unsigned y) { return std::min(x + y, (1U << Bits) - 1); });
}

template <unsigned Bits>
unsigned subtract_saturated(unsigned a, unsigned b) {
  return each_lane<Bits>(a, b, [](unsigned x, unsigned y) { return x > y ? x - y : 0U; });
}

template <class T>
concept AtomicInteger =
    std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>;

template <class T, class F>
T exchange(T* address, F f) {
  const T old = *address;
  *address = f(old);
  return old;
}

}  // namespace emulator

inline unsigned __vadd4(unsigned a, unsigned b) {
  return emulator::each_lane<8>(a, b, [](unsigned x, unsigned y) { return x + y; });
}
inline unsigned __vadd2(unsigned a, unsigned b) {
  return emulator::each_lane<16>(a, b, [](unsigned x, unsigned y) { return x + y; });
}
inline unsigned __vsub4(unsigned a, unsigned b) {
  return emulator::each_lane<8>(a, b, [](unsigned x, unsigned y) { return x - y; });
}
inline unsigned __vsub2(unsigned a, unsigned b) {
  return emulator::each_lane<16>(a, b, [](unsigned x, unsigned y) { return x - y; });
}
inline unsigned __vminu4(unsigned a, unsigned b) {
  return emulator::each_lane<8>(a, b, [](unsigned x, unsigned y) { return std::min(x, y); });
}
inline unsigned __vminu2(unsigned a, unsigned b) {
  return emulator::each_lane<16>(a, b, [](unsigned x, unsigned y) { return std::min(x, y); });
}
inline unsigned __vmaxu4(unsigned a, unsigned b) {
  return emulator::each_lane<8>(a, b, [](unsigned x, unsigned y) { return std::max(x, y); });
}
inline unsigned __vmaxu2(unsigned a, unsigned b) {
  return emulator::each_lane<16>(a, b, [](unsigned x, unsigned y) { return std::max(x, y); });
}
inline unsigned __vaddus4(unsigned a, unsigned b) { return emulator::add_saturated<8>(a, b); }
inline unsigned __vaddus2(unsigned a, unsigned b) { return emulator::add_saturated<16>(a, b); }
inline unsigned __vsubus4(unsigned a, unsigned b) { return emulator::subtract_saturated<8>(a, b); }
inline unsigned __vsubus2(unsigned a, unsigned b) { return emulator::subtract_saturated<16>(a, b); }
inline unsigned __vabsdiffu4(unsigned a, unsigned b) {
  return emulator::each_lane<8>(a, b, [](unsigned x, unsigned y) { return x > y ? x - y : y - x; });
}

// Loads and stores with a hint for the caches.
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <class T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}

inline void __threadfence_block() {}
inline void __threadfence() {}
inline void __threadfence_system() {}

// Integers only: sums of floats by atomics depend on the order of threads.
template <emulator::AtomicInteger T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  // Unsigned: a GPU's integers wrap.
  using U = std::make_unsigned_t<T>;
  return emulator::exchange(
      address, [&](T old) { return static_cast<T>(static_cast<U>(old) + static_cast<U>(value)); });
}
template <emulator::AtomicInteger T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return emulator::exchange(address, [&](T old) { return std::min(old, value); });
}
template <emulator::AtomicInteger T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return emulator::exchange(address, [&](T old) { return std::max(old, value); });
}
template <emulator::AtomicInteger T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return emulator::exchange(address, [&](T old) { return old & value; });
}
template <emulator::AtomicInteger T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return emulator::exchange(address, [&](T old) { return old | value; });
}
template <emulator::AtomicInteger T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return emulator::exchange(address, [&](T old) { return old == expected ? value : old; });
}
template <class T>
  requires(emulator::AtomicInteger<T> || std::is_same_v<T, float>)
T atomicExch(T* address, std::type_identity_t<T> value) {
  return emulator::exchange(address, [&](T) { return value; });
}
// NOLINTEND
