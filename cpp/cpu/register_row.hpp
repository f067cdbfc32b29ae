// SPDX-License-Identifier: Apache-2.0
// Rows of labels held in registers. Doubling steps (see truncated_linear in min_convolution.cpp)
// look s labels to either side; through memory, such a load waits until the stores it overlaps have
// left the store buffer, between registers it is one permutation.
#pragma once

#include "cpu/kernels.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Longest row, in vectors, that is kept in locals from end to end. AVX-512 has registers for 16
/// and a step's temporaries; with half as many the compiler keeps some in memory, which still takes
/// a third less time than shifted loads that wait for the stores they overlap. In double, and with
/// short vectors, more would only be more code.
template <class T>
inline constexpr int kRegisterRow = MRF_VECTOR_BYTES > 16 && sizeof(T) == 4 ? 16 : 8;
/// Longest row, in vectors, whose values and labels fit the registers.
inline constexpr int kRegisterRowLabelled = MRF_VECTOR_BYTES == 64 ? 8 : 4;

/// Lanes K, K + 1, ... of the two vectors side by side.
template <int K, class V>
inline V window(V a, V b) {
  constexpr int kCount = static_cast<int>(sizeof(V) / sizeof(a[0]));
  static_assert(0 < K && K < kCount);
#if MRF_VECTOR_BYTES == 64
  if constexpr (sizeof(a[0]) == 4) return (V)_mm512_alignr_epi32((__m512i)b, (__m512i)a, K);
  if constexpr (sizeof(a[0]) == 8) return (V)_mm512_alignr_epi64((__m512i)b, (__m512i)a, K);
#elif defined(__GNUC__) && !defined(__clang__)
  if constexpr (sizeof(a[0]) == 4) {
    LabelVec<float> pick;
    for (int i = 0; i < kCount; ++i) pick[i] = K + i;
    return __builtin_shuffle(a, b, pick);
  } else {
    LabelVec<double> pick;
    for (int i = 0; i < kCount; ++i) pick[i] = K + i;
    return __builtin_shuffle(a, b, pick);
  }
#else
  V both[2] = {a, b};
  V v;
  std::memcpy(&v, reinterpret_cast<const char*>(both) + K * sizeof(a[0]), sizeof(v));
  return v;
#endif
}

/// Vector i of the row moved S labels up: lane l holds label l - S, or `outside`.
template <int S, class V, int NV>
inline V from_below(const V (&row)[NV], int i, V outside) {
  constexpr int kCount = static_cast<int>(sizeof(V) / sizeof(row[0][0]));
  if constexpr (S % kCount == 0) {
    return i >= S / kCount ? row[i - S / kCount] : outside;
  } else {
    return window<kCount - S>(i > 0 ? row[i - 1] : outside, row[i]);
  }
}

/// Vector i of the row moved S labels down: lane l holds label l + S, or `outside`.
template <int S, class V, int NV>
inline V from_above(const V (&row)[NV], int i, V outside) {
  constexpr int kCount = static_cast<int>(sizeof(V) / sizeof(row[0][0]));
  if constexpr (S % kCount == 0) {
    return i + S / kCount < NV ? row[i + S / kCount] : outside;
  } else {
    return window<S>(row[i], i + 1 < NV ? row[i + 1] : outside);
  }
}

template <class T, int NV>
inline T lowest_value(const Vec<T> (&value)[NV]) {
  Vec<T> lowest = value[0];
#pragma GCC unroll 16
  for (int i = 1; i < NV; ++i) lowest = vmin(lowest, value[i]);
  return horizontal_min<T>(lowest);
}

/// Values only.
template <class T, int NV>
struct RegisterRow {
  static constexpr int kLabels = NV * kLanes<T>;
  Vec<T> value[NV];

  [[gnu::always_inline]] explicit RegisterRow(const T* h)
      : RegisterRow([h](int64_t l) { return load(h + l); }) {}
  /// h(l) returns labels l, l + 1, ...
  template <class H>
    requires requires(const H& h) { h(int64_t{0}); }
  [[gnu::always_inline]] explicit RegisterRow(const H& h) {
#pragma GCC unroll 16
    for (int i = 0; i < NV; ++i) value[i] = h(i * kLanes<T>);
  }

  /// value(l) = min(value(l), min(value(l - S), value(l + S)) + cost)
  template <int S>
  [[gnu::always_inline]] void step(Vec<T> cost, const FusedAdd<T>& add) {
    const Vec<T> outside = splat(kForbidden<T>);
    Vec<T> next[NV];
#pragma GCC unroll 16
    for (int i = 0; i < NV; ++i) {
      const Vec<T> sides = vmin(from_below<S>(value, i, outside), from_above<S>(value, i, outside));
      next[i] = vmin(value[i], add(sides, cost));
    }
#pragma GCC unroll 16
    for (int i = 0; i < NV; ++i) value[i] = next[i];
  }
};

/// Values and the labels they come from.
template <class T, int NV>
struct LabelledRow {
  static constexpr int kLabels = NV * kLanes<T>;
  Vec<T> value[NV];
  LabelVec<T> label[NV];

  explicit LabelledRow(const T* h) {
#pragma GCC unroll 16
    for (int i = 0; i < NV; ++i) {
      value[i] = load(h + i * kLanes<T>);
      label[i] = labels_from<T>(i * kLanes<T>);
    }
  }

  /// As above. After steps up to S / 2, what comes from below stems from labels l - 2 S + 1 to
  /// l - 1, what is here from l - S + 1 to l + S - 1, what comes from above from l + 1 to
  /// l + 2 S - 1. At equal cost below wins over here, and here over above: that is the lowest label
  /// (a tie with a higher label from below would mean that here has a cheaper one).
  template <int S>
  void step(Vec<T> cost, const FusedAdd<T>& add) {
    const Vec<T> outside = splat(kForbidden<T>);
    Vec<T> next[NV];
    LabelVec<T> from[NV];
#pragma GCC unroll 16
    for (int i = 0; i < NV; ++i) {
      const Vec<T> below = add(from_below<S>(value, i, outside), cost);
      const Vec<T> above = add(from_above<S>(value, i, outside), cost);
      const LabelVec<T> own =
          (LabelVec<T>)(below <= value[i]) ? from_below<S>(label, i, LabelVec<T>{}) : label[i];
      const Vec<T> best = vmin(below, value[i]);
      from[i] = (LabelVec<T>)(above < best) ? from_above<S>(label, i, LabelVec<T>{}) : own;
      next[i] = vmin(above, best);
    }
#pragma GCC unroll 16
    for (int i = 0; i < NV; ++i) {
      value[i] = next[i];
      label[i] = from[i];
    }
  }
};

/// Steps of S, 2 S, 4 S, ... labels. Steps beyond the row would see nothing.
template <int S, class Row, class T>
[[gnu::always_inline]] inline void doubling_steps(Row& row, int steps, T w,
                                                  const FusedAdd<T>& add) {
  if constexpr (S < Row::kLabels) {
    if (steps == 0) return;
    row.template step<S>(splat<T>(w * static_cast<T>(S)), add);
    doubling_steps<2 * S>(row, steps - 1, w, add);
  }
}

/// body.template operator()<NV>() with NV = vectors, if that is at most Most.
template <int Most, int NV = 1, class Body>
inline bool with_vector_count(int64_t vectors, const Body& body) {
  if (vectors == NV) {
    body.template operator()<NV>();
    return true;
  }
  if constexpr (NV < Most) return with_vector_count<Most, NV + 1>(vectors, body);
  return false;
}

}  // namespace mrfcore::cpu::MRF_ISA
