// SPDX-License-Identifier: Apache-2.0
// Gradients through a min-convolution: from that of a message to those of its predecessor's h, of
// the edge's weight and of V. Hard minima follow the tape, soft ones are computed again.
#pragma once

#include "cpu/kernels.hpp"
#include "cpu/scratch.hpp"
#include "cpu/simd.hpp"
#include "cpu/soft_min.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Gradient rows of a strip's scanlines, and work rows.
template <class T>
struct AdjointBuffers {
  static constexpr int kBanks = 4;
  T* rows;
  T* g;        ///< gradient of one message
  T* banks;    ///< scatter targets, zero between uses
  T* h;        ///< soft: what the predecessor sent
  T* scratch;  ///< soft
  int64_t stride;

  AdjointBuffers(ThreadMemory& memory, int64_t stride_, int64_t slots) : stride(stride_) {
    const int64_t total = (slots + 1 + kBanks + 1 + 3) * stride;
    rows = static_cast<T*>(memory.reserve(total * static_cast<int64_t>(sizeof(T))));
    for (int64_t i = 0; i < total; ++i) rows[i] = T(0);
    g = rows + slots * stride;
    banks = g + stride;
    h = banks + kBanks * stride;
    scratch = h + stride;
  }
  T* gh(int64_t slot) const { return rows + slot * stride; }
  void clear(T* row) const {
    for (int64_t l = 0; l < stride; l += kLanes<T>) store(row + l, Vec<T>{});
  }
};

/// Gradients of weights and table as one strip of one direction sees them.
template <class T>
struct PairwiseSink {
  static constexpr int kWidestGather = 1 << 15;  // L * padded L fits 31 bits
  const PairwiseGradient<T>& gradient;
  T* per_edge;     ///< of this pair
  double* weight;  ///< of this bin
  double* values;  ///< of this bin
  const T* table;  ///< V(m, l) as this direction sees it, or null
  int distinct;
  ShortTable<T> differences;
  int labels;
  int64_t stride;
  bool transposed;

  PairwiseSink(const AdjointArgs<T>& a, bool backward, int64_t bin)
      : gradient(a.gradient),
        per_edge(gradient.per_edge == nullptr ? nullptr
                                              : gradient.per_edge + a.pair * a.shape.pixels()),
        weight(gradient.weight == nullptr ? nullptr : gradient.weight + bin),
        values(gradient.values == nullptr
                   ? nullptr
                   : gradient.values + bin * a.shape.labels * a.shape.labels),
        table(backward ? gradient.table_t : gradient.table),
        distinct(gradient.distinct),
        differences(gradient.differences, table == nullptr ? distinct : 0),
        labels(a.shape.labels),
        stride(a.shape.stride),
        transposed(backward) {}

  bool wants_weight() const { return per_edge != nullptr || weight != nullptr; }
  void add_weight(int64_t owner, T g) const {
    if (per_edge != nullptr) per_edge[owner] += gradient.weight_factor * g;
    if (weight != nullptr) *weight += static_cast<double>(gradient.weight_factor * g);
  }
  /// V(m, l), V(m', l + 1), ... for labels m, m', ... in the lanes.
  Vec<T> v(LabelVec<T> m, int64_t l) const {
    const LabelVec<T> own = labels_from<T>(l);
    if (table == nullptr) {
      const LabelVec<T> d = m < own ? own - m : m - own, last = splat_label<T>(distinct - 1);
      return differences[d < last ? d : last];
    }
    // Row by row where the table's size is beyond what a lane can index.
    if (sizeof(T) == 4 && labels > kWidestGather) {
      Vec<T> values;
      for (int i = 0; i < kLanes<T>; ++i) values[i] = table[int64_t{m[i]} * stride + l + i];
      return values;
    }
    return gather_lanes<T>(table, m * static_cast<Lane<T>>(stride) + own);
  }
  double& value(int64_t m, int64_t l) const {
    return values[transposed ? l * labels + m : m * labels + l];
  }
};

/// Through a min-convolution by its stored arg-mins.
template <class T, class Index>
struct HardThrough {
  static constexpr bool kSlow = false;
  const Index* argmin;
  const Index* minimum;
  bool minimum_of_state;
  PairwiseSink<T> sink;

  HardThrough(const ArgminTape& tape, bool of_state, const PairwiseSink<T>& s)
      : argmin(static_cast<const Index*>(tape.argmin)),
        minimum(static_cast<const Index*>(tape.minimum)),
        minimum_of_state(of_state),
        sink(s) {}

  /// Gradient of x from that of x - min x.
  void subtract_at_minimum(int64_t pixel, T* g) const {
    g[minimum[pixel]] -= ordered_sum(g, sink.labels);
  }

  /// From the gradient g of the message to `pixel` to that of its predecessor's h (overwritten).
  void operator()(int64_t pixel, int64_t, int64_t owner, T w, AdjointBuffers<T>& b, T* gh) const {
    if (!minimum_of_state) subtract_at_minimum(pixel, b.g);
    const Index* from = argmin + pixel * sink.labels;
    scatter(from, b, gh);
    if (sink.wants_weight()) sink.add_weight(owner, weight_gradient(from, b.g));
    if (sink.values == nullptr) return;
    for (int l = 0; l < sink.labels; ++l) sink.value(from[l], l) += static_cast<double>(w * b.g[l]);
  }

 private:
  /// gh(argmin(l)) += g(l). Neighbouring labels often share their arg-min: four banks keep an
  /// addition from waiting for the one before.
  void scatter(const Index* from, AdjointBuffers<T>& b, T* gh) const {
    const int64_t n = b.stride;
    T *b0 = b.banks, *b1 = b0 + n, *b2 = b1 + n, *b3 = b2 + n;
    int l = 0;
    for (; l + 4 <= sink.labels; l += 4) {
      b0[from[l]] += b.g[l];
      b1[from[l + 1]] += b.g[l + 1];
      b2[from[l + 2]] += b.g[l + 2];
      b3[from[l + 3]] += b.g[l + 3];
    }
    for (; l < sink.labels; ++l) b0[from[l]] += b.g[l];
    for (int64_t m = 0; m < n; m += kLanes<T>) {
      store(gh + m, (load(b0 + m) + load(b1 + m)) + (load(b2 + m) + load(b3 + m)));
      store(b0 + m, Vec<T>{});
      store(b1 + m, Vec<T>{});
      store(b2 + m, Vec<T>{});
      store(b3 + m, Vec<T>{});
    }
  }

  /// sum_l g(l) V(argmin(l), l)
  T weight_gradient(const Index* from, const T* g) const {
    OrderedSum<T> sum;
    for (int64_t l = 0; l < sink.labels; l += kLanes<T>) {
      const Vec<T> v = sink.v(labels_at(from, l), l);
      sum.add(l, only_labels<T>(load(g + l) * v, l, sink.labels));
    }
    return sum.total();
  }

  /// Arg-mins of labels l, l + 1, ...; 0 for labels that do not exist.
  LabelVec<T> labels_at(const Index* from, int64_t l) const {
    typedef Index Narrow __attribute__((vector_size(sizeof(Index) * kLanes<T>)));
    Narrow narrow{};
    if (l + kLanes<T> <= sink.labels) {
      std::memcpy(&narrow, from + l, sizeof(narrow));
    } else {
      std::memcpy(&narrow, from + l, static_cast<size_t>(sink.labels - l) * sizeof(Index));
    }
    return __builtin_convertvector(narrow, LabelVec<T>);
  }
};

/// What TRWP's nodes sent (Eq 3.10), from messages before and after and the rewound sum.
template <class T>
struct TrwpState {
  T* sum;
  const T* own_before;
  const T* own_after;
  const T* other;
  T rho;

  T h(int64_t i) const { return rho * sum[i] - other[i]; }
  void rewind(int64_t i) const { sum[i] -= own_after[i] - own_before[i]; }
};

/// What ISGMR's nodes sent (Eq 3.9); `sum` is that of the iteration before.
template <class T>
struct IsgmrState {
  const T* sum;
  const T* own_before;
  const T* own_after;
  const T* other_before;

  T h(int64_t i) const { return sum[i] - own_before[i] - other_before[i] + own_after[i]; }
  void rewind(int64_t) const {}
};

/// Through a soft minimum, recomputed from the messages.
template <class T, class State>
struct SoftThrough {
  static constexpr bool kSlow = true;  ///< a strip may take seconds: stop between its rows, too
  State state;
  T temperature;
  PairwiseSink<T> sink;

  void operator()(int64_t pixel, int64_t predecessor, int64_t owner, T w, AdjointBuffers<T>& b,
                  T* gh) const {
    const int64_t n = b.stride;
    for (int64_t l = 0; l < n; ++l) b.h[l] = state.h(predecessor * n + l);
    const SoftAdjoint<T> adjoint{sink.table, sink.transposed, sink.labels,
                                 n,          temperature,     b.scratch};
    const T grad_weight = soft_adjoint(adjoint, b.h, w, b.g, gh, sink.values);
    if (sink.wants_weight()) sink.add_weight(owner, grad_weight);
    for (int64_t l = 0; l < n; ++l) state.rewind(pixel * n + l);
  }
};

}  // namespace mrfcore::cpu::MRF_ISA
