// SPDX-License-Identifier: Apache-2.0
// Vectors of bytes and of 16-bit numbers, whole or as a pair that has as many elements as one of
// bytes: what simd.hpp is for floats. Intrinsics where the vector extension has no word; without
// SSE 4.1 (Arm) plain loops, which compilers know.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef MRF_ISA
#error "files under cpp/cpu are compiled once per instruction set, with MRF_ISA defined"
#endif

namespace mrfcore::cpu::MRF_ISA {

inline constexpr int kRowLanes = MRF_VECTOR_BYTES;
inline constexpr int kWordLanes = kRowLanes / 2;

typedef uint8_t Bytes __attribute__((vector_size(MRF_VECTOR_BYTES)));
typedef uint16_t Words __attribute__((vector_size(MRF_VECTOR_BYTES)));

/// kRowLanes numbers of 16 bits.
struct WidePair {
  Words low, high;
};

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
inline Bytes lower(Bytes a, Bytes b) { return a < b ? a : b; }
inline Bytes upper(Bytes a, Bytes b) { return a < b ? b : a; }
inline Words lower(Words a, Words b) { return a < b ? a : b; }
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
/// Elements of a vector: a bit each, or all bits of the element.
using WordSet = __mmask32;
inline bool any(WordSet set) { return set != 0; }
/// Where a < b and c < d.
inline WordSet both_less(Words a, Words b, Words c, Words d) {
  return _mm512_mask_cmplt_epu16_mask(_mm512_cmplt_epu16_mask((__m512i)c, (__m512i)d), (__m512i)a,
                                      (__m512i)b);
}
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
using WordSet = Words;
inline bool any(WordSet v) { return _mm256_testz_si256((__m256i)v, (__m256i)v) == 0; }
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
using WordSet = Words;
inline bool any(WordSet v) { return _mm_testz_si128((__m128i)v, (__m128i)v) == 0; }
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
using WordSet = Words;
inline bool any(WordSet v) {
  uint64_t halves[2];
  store_lanes(halves, v);
  return (halves[0] | halves[1]) != 0;
}
inline void store_beyond_cache(void* to, Bytes v) { store_lanes(to, v); }
#endif

#if MRF_VECTOR_BYTES < 64
inline WordSet both_less(Words a, Words b, Words c, Words d) {
  return (Words)(a < b) & (Words)(c < d);
}
#endif

#if defined(__SSE4_1__)
/// The smallest element, in the lowest one of what comes back.
inline __m128i least_first(Bytes v) {
  const __m128i bytes = sixteen_least(v);
  return _mm_minpos_epu16(_mm_min_epu8(bytes, _mm_srli_epi16(bytes, 8)));
}
inline __m128i least_first(Words v) { return _mm_minpos_epu16(eight_least(v)); }
inline int least(Bytes v) { return _mm_cvtsi128_si32(least_first(v)) & 0xff; }
inline int least(Words v) { return _mm_cvtsi128_si32(least_first(v)) & 0xffff; }
#else
template <class V>
inline int least(V v) {
  int low = v[0];
  for (int i = 1; i < static_cast<int>(sizeof(v) / sizeof(v[0])); ++i)
    low = v[i] < low ? v[i] : low;
  return low;
}
#endif
/// The smallest element in all elements.
#if MRF_VECTOR_BYTES == 64
inline Bytes least_everywhere(Bytes v) {
  return (Bytes)_mm512_maskz_broadcastb_epi8(~__mmask64{0}, least_first(v));
}
inline Words least_everywhere(Words v) {
  return (Words)_mm512_maskz_broadcastw_epi16(~__mmask32{0}, least_first(v));
}
#elif MRF_VECTOR_BYTES == 32
inline Bytes least_everywhere(Bytes v) { return (Bytes)_mm256_broadcastb_epi8(least_first(v)); }
inline Words least_everywhere(Words v) { return (Words)_mm256_broadcastw_epi16(least_first(v)); }
#elif defined(__SSE4_1__)
inline Bytes least_everywhere(Bytes v) {
  return (Bytes)_mm_shuffle_epi8(least_first(v), _mm_setzero_si128());
}
inline Words least_everywhere(Words v) {
  return (Words)_mm_shuffle_epi8(least_first(v), _mm_set1_epi16(0x0100));
}
#else
inline Bytes least_everywhere(Bytes v) { return splat_byte(least(v)); }
inline Words least_everywhere(Words v) { return splat_word(least(v)); }
#endif

}  // namespace mrfcore::cpu::MRF_ISA
