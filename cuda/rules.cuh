// SPDX-License-Identifier: Apache-2.0
// What happens at a node of a sweep: the rules of cpp/cpu/sweep.cpp, expression by expression, on
// rows held by a warp. `read` fetches what a node needs; since it depends on no other node of the
// scanline, the sweep asks for the next node's before it works on this one.
#pragma once

#include "cpu/kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {

/// One item's part of a sweep.
template <class T>
struct SweepMemory {
  int labels;
  const T* unary;
  T* sum;
  T* own;
  T* other;
  T* cavity;
  const T* head_row;
  T rho, damping;
  bool relative;

  /// Forward way: `own` is the pair's first message. at: elements before the item's in a volume.
  static __device__ __forceinline__ SweepMemory of_item(const cpu::SweepArgs<T>& a, int64_t at) {
    const auto part = [at](auto* volume) { return volume == nullptr ? volume : volume + at; };
    return {a.shape.labels,
            part(a.unary),
            part(a.sum),
            part(static_cast<T*>(a.forward)),
            part(static_cast<T*>(a.backward)),
            part(a.cavity),
            a.head_row,
            a.rho,
            a.damping,
            a.relative};
  }
};

template <class T, int NK>
__device__ __forceinline__ WarpRow<T, NK> read_row(const T* volume, int64_t pixel, int labels) {
  WarpRow<T, NK> row;
  const T* from = volume + (pixel * labels + lane_index());  // the rest in the instructions
#pragma unroll
  for (int k = 0; k < NK; ++k)
    row.at[k] = WarpRow<T, NK>::label(k) < labels ? from[k * kWarp] : T(0);
  return row;
}

template <class T, int NK>
__device__ __forceinline__ void write_row(T* volume, int64_t pixel, int labels,
                                          const WarpRow<T, NK>& row) {
  T* to = volume + (pixel * labels + lane_index());
#pragma unroll
  for (int k = 0; k < NK; ++k) {
    if (WarpRow<T, NK>::label(k) < labels) to[k * kWarp] = row.at[k];
  }
}

/// Labels that do not exist never win a minimum.
template <class T, int NK>
__device__ __forceinline__ void forbid_padding(WarpRow<T, NK>& h, int labels) {
#pragma unroll
  for (int k = 0; k < NK; ++k) {
    if (WarpRow<T, NK>::label(k) >= labels) h.at[k] = kForbidden<T>;
  }
}

template <class T>
__device__ __forceinline__ T damp(T fresh, T old, T damping) {
  return fresh + damping * (old - fresh);
}

/// Eq 3.10.
template <class T, int NK>
struct TrwpRule {
  static constexpr bool kMinimumOfState = false;
  using Row = WarpRow<T, NK>;
  struct Node {
    Row sum, own, other;
  };
  const SweepMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t pixel) const {
    return {read_row<T, NK>(a.sum, pixel, a.labels), read_row<T, NK>(a.own, pixel, a.labels),
            read_row<T, NK>(a.other, pixel, a.labels)};
  }
  __device__ __forceinline__ Row head(int64_t, const Node& n) const {
    Row h;
#pragma unroll
    for (int k = 0; k < NK; ++k) h.at[k] = a.rho * n.sum.at[k] - n.other.at[k];
    return h;
  }
  __device__ __forceinline__ Row node(int64_t pixel, const Node& n, const Row& m, T lowest) const {
    Row h, own, sum;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      own.at[k] = damp(m.at[k] - lowest, n.own.at[k], a.damping);
      sum.at[k] = n.sum.at[k] + (own.at[k] - n.own.at[k]);
      h.at[k] = a.rho * sum.at[k] - n.other.at[k];
    }
    write_row(a.own, pixel, a.labels, own);
    write_row(a.sum, pixel, a.labels, sum);
    return h;
  }
};

/// Eq 3.9, first direction of the pair: leaves the cavity for the second.
template <class T, int NK>
struct IsgmrForwardRule {
  static constexpr bool kMinimumOfState = false;
  using Row = WarpRow<T, NK>;
  struct Node {
    Row sum, own, other;
  };
  const SweepMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t pixel) const {
    return {read_row<T, NK>(a.sum, pixel, a.labels), read_row<T, NK>(a.own, pixel, a.labels),
            read_row<T, NK>(a.other, pixel, a.labels)};
  }
  __device__ __forceinline__ Row head(int64_t pixel, const Node& n) const {
    const Row c = cavity(n);
    write_row(a.cavity, pixel, a.labels, c);
    return c;
  }
  __device__ __forceinline__ Row node(int64_t pixel, const Node& n, const Row& m, T lowest) const {
    const Row c = cavity(n);
    Row h, own;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      own.at[k] = damp(m.at[k] - lowest, n.own.at[k], a.damping);
      h.at[k] = c.at[k] + own.at[k];
    }
    write_row(a.cavity, pixel, a.labels, c);
    write_row(a.own, pixel, a.labels, own);
    return h;
  }

 private:
  __device__ __forceinline__ Row cavity(const Node& n) const {
    Row c;
#pragma unroll
    for (int k = 0; k < NK; ++k) c.at[k] = n.sum.at[k] - n.own.at[k] - n.other.at[k];
    return c;
  }
};

/// Eq 3.9, second direction.
template <class T, int NK>
struct IsgmrBackwardRule {
  static constexpr bool kMinimumOfState = false;
  using Row = WarpRow<T, NK>;
  struct Node {
    Row cavity, own;
  };
  const SweepMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t pixel) const {
    return {read_row<T, NK>(a.cavity, pixel, a.labels), read_row<T, NK>(a.own, pixel, a.labels)};
  }
  __device__ __forceinline__ Row head(int64_t pixel, const Node& n) const {
    const Row none{};
    write_row(a.own, pixel, a.labels, none);
    return n.cavity;
  }
  __device__ __forceinline__ Row node(int64_t pixel, const Node& n, const Row& m, T lowest) const {
    Row h, own;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      own.at[k] = damp(m.at[k] - lowest, n.own.at[k], a.damping);
      h.at[k] = n.cavity.at[k] + own.at[k];
    }
    write_row(a.own, pixel, a.labels, own);
    return h;
  }
};

/// Eq 3.3 / 2.34 and 2.35.
template <class T, int NK>
struct SgmRule {
  static constexpr bool kMinimumOfState = true;
  using Row = WarpRow<T, NK>;
  struct Node {
    Row unary, sum;
  };
  const SweepMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t pixel) const {
    return {read_row<T, NK>(a.unary, pixel, a.labels), read_row<T, NK>(a.sum, pixel, a.labels)};
  }
  __device__ __forceinline__ Row head(int64_t pixel, const Node& n) const {
    return keep(pixel, n,
                a.head_row == nullptr ? n.unary : read_row<T, NK>(a.head_row, 0, a.labels));
  }
  __device__ __forceinline__ Row node(int64_t pixel, const Node& n, const Row& m, T) const {
    Row path;
#pragma unroll
    for (int k = 0; k < NK; ++k) path.at[k] = n.unary.at[k] + m.at[k];
    return keep(pixel, n, path);
  }

 private:
  __device__ __forceinline__ Row keep(int64_t pixel, const Node& n, Row path) const {
    forbid_padding(path, a.labels);
    const T lowest = row_minimum(path);
    Row rest, sum;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      rest.at[k] = path.at[k] - lowest;
      sum.at[k] = n.sum.at[k] + (a.relative ? rest.at[k] : path.at[k]);
    }
    write_row(a.sum, pixel, a.labels, sum);
    return rest;
  }
};

}  // namespace mrfcore::cuda
