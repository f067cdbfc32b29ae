// SPDX-License-Identifier: Apache-2.0
// Rows of small whole numbers, one for each label, in vectors of bytes or of pairs of bytes.
//
// A row is striped: in V vectors of kRowLanes elements label l is element l / V of vector l % V.
// Neighbouring labels are then the same element of neighbouring vectors: of all the vectors of a
// row only the first and the last take a shift, by one element, and no load straddles two stores.
#pragma once

#include "cpu/byte_vectors.hpp"

namespace mrfcore::cpu::MRF_ISA {

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

template <class T>
inline Lanes<T> splat_lanes(int value) {
  if constexpr (sizeof(T) == 1) {
    return splat_byte(value);
  } else {
    return {splat_word(value), splat_word(value)};
  }
}

inline WidePair lower(WidePair a, WidePair b) {
  return {lower(a.low, b.low), lower(a.high, b.high)};
}
inline WidePair operator+(WidePair a, WidePair b) { return {a.low + b.low, a.high + b.high}; }
inline WidePair operator-(WidePair a, WidePair b) { return {a.low - b.low, a.high - b.high}; }

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

inline int least(WidePair v) { return least(lower(v.low, v.high)); }

inline WidePair least_everywhere(WidePair v) {
  const Words low = least_everywhere(lower(v.low, v.high));
  return {low, low};
}

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
