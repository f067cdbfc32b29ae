// SPDX-License-Identifier: Apache-2.0
// Rows of small whole numbers, one for each label, in vectors of bytes or of pairs of bytes.
//
// A row is striped: in V vectors of kRowLanes elements label l is element l / V of vector l % V.
// Neighbouring labels are then the same element of neighbouring vectors: of all the vectors of a
// row only the first and the last take a shift, by one element, and no load straddles two stores.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "cpu/kernels.hpp"

namespace mrfcore::cpu::MRF_ISA {

inline constexpr int kRowLanes = MRF_VECTOR_BYTES;
inline constexpr int kWordLanes = kRowLanes / 2;

typedef uint8_t Bytes __attribute__((vector_size(MRF_VECTOR_BYTES)));
typedef uint16_t Words __attribute__((vector_size(MRF_VECTOR_BYTES)));

/// kRowLanes numbers of 16 bits.
struct WidePair {
  Words low, high;
};

template <class T>
struct LanesOf;
template <>
struct LanesOf<uint8_t> {
  using type = Bytes;
};
template <>
struct LanesOf<uint16_t> {
  using type = WidePair;
};
/// kRowLanes numbers of type T.
template <class T>
using Lanes = typename LanesOf<T>::type;

template <class V>
inline V load_lanes(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
template <class V>
inline void store_lanes(void* to, V v) {
  std::memcpy(to, &v, sizeof(v));
}

inline Bytes splat_byte(int value) { return Bytes{} + static_cast<uint8_t>(value); }
inline Words splat_word(int value) { return Words{} + static_cast<uint16_t>(value); }
template <class T>
inline Lanes<T> splat_lanes(int value) {
  if constexpr (sizeof(T) == 1) {
    return splat_byte(value);
  } else {
    return {splat_word(value), splat_word(value)};
  }
}

inline Bytes lower(Bytes a, Bytes b) { return a < b ? a : b; }
inline Bytes upper(Bytes a, Bytes b) { return a < b ? b : a; }
inline Words lower(Words a, Words b) { return a < b ? a : b; }
inline WidePair lower(WidePair a, WidePair b) {
  return {lower(a.low, b.low), lower(a.high, b.high)};
}
inline WidePair operator+(WidePair a, WidePair b) { return {a.low + b.low, a.high + b.high}; }
inline WidePair operator-(WidePair a, WidePair b) { return {a.low - b.low, a.high - b.high}; }

// ---- What the vector extension has no word for: sums that stop at the largest number, shifts by
// an element across the whole vector, look-ups in 16 bytes, widening.

#if MRF_VECTOR_BYTES == 64
// GCC 12 warns of the undefined registers in the unmasked forms of some intrinsics.
inline constexpr __mmask8 kAll = 0xff;
struct Halves {
  __m256i low, high;
};
template <class V>
inline Halves halves(V v) {
  Halves h;
  static_assert(sizeof(h) == sizeof(v));
  std::memcpy(&h, &v, sizeof(h));
  return h;
}
inline Bytes add_saturated(Bytes a, Bytes b) {
  return (Bytes)_mm512_adds_epu8((__m512i)a, (__m512i)b);
}
inline Words add_saturated(Words a, Words b) {
  return (Words)_mm512_adds_epu16((__m512i)a, (__m512i)b);
}
/// max(a - b, 0)
inline Bytes excess(Bytes a, Bytes b) { return (Bytes)_mm512_subs_epu8((__m512i)a, (__m512i)b); }
/// table[at % 16] of elements at < 128.
inline Bytes look_up(Bytes table, Bytes at) {
  return (Bytes)_mm512_shuffle_epi8((__m512i)table, (__m512i)at);
}
/// The vector that begins kBytes before v, whose predecessor is `before`.
template <int kBytes, class V>
inline V preceding(V before, V v) {
  const __m512i lanes = _mm512_maskz_alignr_epi64(kAll, (__m512i)v, (__m512i)before, 6);
  return (V)_mm512_alignr_epi8((__m512i)v, lanes, 16 - kBytes);
}
/// The vector that begins kBytes after v does, whose successor is `after`.
template <int kBytes, class V>
inline V succeeding(V v, V after) {
  const __m512i lanes = _mm512_maskz_alignr_epi64(kAll, (__m512i)after, (__m512i)v, 2);
  return (V)_mm512_alignr_epi8(lanes, (__m512i)v, kBytes);
}
inline WidePair widened(Bytes v) {
  return {(Words)_mm512_cvtepu8_epi16(_mm512_maskz_extracti64x4_epi64(kAll, (__m512i)v, 0)),
          (Words)_mm512_cvtepu8_epi16(_mm512_maskz_extracti64x4_epi64(kAll, (__m512i)v, 1))};
}
inline __m128i sixteen_least(Bytes v) {
  const Halves h = halves(v);
  const __m256i half = _mm256_min_epu8(h.low, h.high);
  return _mm_min_epu8(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
inline __m128i eight_least(Words v) {
  const Halves h = halves(v);
  const __m256i half = _mm256_min_epu16(h.low, h.high);
  return _mm_min_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
inline bool any(Words v) { return _mm512_test_epi64_mask((__m512i)v, (__m512i)v) != 0; }
/// Past the caches: for what is not read again soon.
inline void store_beyond_cache(void* to, Bytes v) {
  _mm512_stream_si512(static_cast<__m512i*>(to), (__m512i)v);
}
#elif MRF_VECTOR_BYTES == 32
inline Bytes add_saturated(Bytes a, Bytes b) {
  return (Bytes)_mm256_adds_epu8((__m256i)a, (__m256i)b);
}
inline Words add_saturated(Words a, Words b) {
  return (Words)_mm256_adds_epu16((__m256i)a, (__m256i)b);
}
inline Bytes excess(Bytes a, Bytes b) { return (Bytes)_mm256_subs_epu8((__m256i)a, (__m256i)b); }
inline Bytes look_up(Bytes table, Bytes at) {
  return (Bytes)_mm256_shuffle_epi8((__m256i)table, (__m256i)at);
}
template <int kBytes, class V>
inline V preceding(V before, V v) {
  const __m256i middle = _mm256_permute2x128_si256((__m256i)before, (__m256i)v, 0x21);
  return (V)_mm256_alignr_epi8((__m256i)v, middle, 16 - kBytes);
}
template <int kBytes, class V>
inline V succeeding(V v, V after) {
  const __m256i middle = _mm256_permute2x128_si256((__m256i)v, (__m256i)after, 0x21);
  return (V)_mm256_alignr_epi8(middle, (__m256i)v, kBytes);
}
inline WidePair widened(Bytes v) {
  return {(Words)_mm256_cvtepu8_epi16(_mm256_castsi256_si128((__m256i)v)),
          (Words)_mm256_cvtepu8_epi16(_mm256_extracti128_si256((__m256i)v, 1))};
}
inline __m128i sixteen_least(Bytes v) {
  return _mm_min_epu8(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
}
inline __m128i eight_least(Words v) {
  return _mm_min_epu16(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
}
inline bool any(Words v) { return _mm256_testz_si256((__m256i)v, (__m256i)v) == 0; }
inline void store_beyond_cache(void* to, Bytes v) {
  _mm256_stream_si256(static_cast<__m256i*>(to), (__m256i)v);
}
#elif defined(__SSE4_1__)
inline Bytes add_saturated(Bytes a, Bytes b) {
  return (Bytes)_mm_adds_epu8((__m128i)a, (__m128i)b);
}
inline Words add_saturated(Words a, Words b) {
  return (Words)_mm_adds_epu16((__m128i)a, (__m128i)b);
}
inline Bytes excess(Bytes a, Bytes b) { return (Bytes)_mm_subs_epu8((__m128i)a, (__m128i)b); }
inline Bytes look_up(Bytes table, Bytes at) {
  return (Bytes)_mm_shuffle_epi8((__m128i)table, (__m128i)at);
}
template <int kBytes, class V>
inline V preceding(V before, V v) {
  return (V)_mm_alignr_epi8((__m128i)v, (__m128i)before, 16 - kBytes);
}
template <int kBytes, class V>
inline V succeeding(V v, V after) {
  return (V)_mm_alignr_epi8((__m128i)after, (__m128i)v, kBytes);
}
inline WidePair widened(Bytes v) {
  return {(Words)_mm_unpacklo_epi8((__m128i)v, __m128i{}),
          (Words)_mm_unpackhi_epi8((__m128i)v, __m128i{})};
}
inline __m128i sixteen_least(Bytes v) { return (__m128i)v; }
inline __m128i eight_least(Words v) { return (__m128i)v; }
inline bool any(Words v) { return _mm_testz_si128((__m128i)v, (__m128i)v) == 0; }
inline void store_beyond_cache(void* to, Bytes v) {
  _mm_stream_si128(static_cast<__m128i*>(to), (__m128i)v);
}
#else
template <class V>
inline V add_saturated(V a, V b) {
  const V sum = a + b;
  return sum | (V)(sum < a);
}
inline Bytes excess(Bytes a, Bytes b) { return upper(a, b) - b; }
inline Bytes look_up(Bytes table, Bytes at) {
  Bytes v;
  for (int i = 0; i < kRowLanes; ++i) v[i] = table[at[i] % 16];
  return v;
}
template <int kBytes, class V>
inline V preceding(V before, V v) {
  uint8_t both[2 * sizeof(V)];
  store_lanes(both, before);
  store_lanes(both + sizeof(V), v);
  return load_lanes<V>(both + sizeof(V) - kBytes);
}
template <int kBytes, class V>
inline V succeeding(V v, V after) {
  uint8_t both[2 * sizeof(V)];
  store_lanes(both, v);
  store_lanes(both + sizeof(V), after);
  return load_lanes<V>(both + kBytes);
}
inline WidePair widened(Bytes v) {
  WidePair wide;
  for (int i = 0; i < kWordLanes; ++i) {
    wide.low[i] = v[i];
    wide.high[i] = v[i + kWordLanes];
  }
  return wide;
}
inline bool any(Words v) {
  uint64_t halves[2];
  store_lanes(halves, v);
  return (halves[0] | halves[1]) != 0;
}
inline void store_beyond_cache(void* to, Bytes v) { store_lanes(to, v); }
#endif

inline void store_beyond_cache(void* to, WidePair v) {
  store_beyond_cache(to, (Bytes)v.low);
  store_beyond_cache(static_cast<char*>(to) + sizeof(v.low), (Bytes)v.high);
}
/// Orders stores past the caches before what other threads are told next.
inline void finish_stores() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

#if defined(__SSE4_1__)
inline int least(Bytes v) {
  const __m128i bytes = sixteen_least(v);
  return _mm_cvtsi128_si32(_mm_minpos_epu16(_mm_min_epu8(bytes, _mm_srli_epi16(bytes, 8)))) & 0xff;
}
inline int least(Words v) { return _mm_cvtsi128_si32(_mm_minpos_epu16(eight_least(v))) & 0xffff; }
#else
template <class V>
inline int least(V v) {
  int low = v[0];
  for (int i = 1; i < static_cast<int>(sizeof(v) / sizeof(v[0])); ++i)
    low = v[i] < low ? v[i] : low;
  return low;
}
#endif
inline int least(WidePair v) { return least(lower(v.low, v.high)); }

inline WidePair add_saturated(WidePair a, WidePair b) {
  return {add_saturated(a.low, b.low), add_saturated(a.high, b.high)};
}

/// Element i is v's i - 1; the first is the largest number there is.
inline Bytes moved_up(Bytes v) { return preceding<1>(~Bytes{}, v); }
inline WidePair moved_up(WidePair v) {
  return {preceding<2>(~Words{}, v.low), preceding<2>(v.low, v.high)};
}
/// Element i is v's i + 1; the last is the largest number there is.
inline Bytes moved_down(Bytes v) { return succeeding<1>(v, ~Bytes{}); }
inline WidePair moved_down(WidePair v) {
  return {succeeding<2>(v.low, v.high), succeeding<2>(v.high, ~Words{})};
}

/// kRowLanes numbers of type T as words.
template <class T>
inline WidePair load_wide(const T* from) {
  if constexpr (sizeof(T) == 2) {
    return load_lanes<WidePair>(from);
  } else {
#if MRF_VECTOR_BYTES == 64
    return {(Words)_mm512_cvtepu8_epi16(load_lanes<__m256i>(from)),
            (Words)_mm512_cvtepu8_epi16(load_lanes<__m256i>(from + kWordLanes))};
#elif MRF_VECTOR_BYTES == 32
    return {(Words)_mm256_cvtepu8_epi16(load_lanes<__m128i>(from)),
            (Words)_mm256_cvtepu8_epi16(load_lanes<__m128i>(from + kWordLanes))};
#else
    return widened(load_lanes<Bytes>(from));
#endif
  }
}

/// Bytes as numbers of type T.
template <class T>
inline Lanes<T> lanes_of(Bytes v) {
  if constexpr (sizeof(T) == 1) {
    return v;
  } else {
    return widened(v);
  }
}
template <class T>
inline Lanes<T> lanes_of(WidePair v) {
  static_assert(sizeof(T) == 2);
  return v;
}

}  // namespace mrfcore::cpu::MRF_ISA
