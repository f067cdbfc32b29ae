// SPDX-License-Identifier: Apache-2.0
// Adjoints of the rules in rules.cuh: those of cpp/cpu/adjoint_rules.hpp, expression by expression.
// `head` and `node` take the gradient gh of the vector that a node handed on; `node` returns that
// of the message it got.
#pragma once

#include "rules.cuh"

namespace mrfcore::cuda {

/// One item's part of an adjoint sweep, seen from one of its two ways.
template <class T>
struct AdjointMemory {
  int labels;
  T* sum;
  T* sum_before;
  T* own;
  T* other;
  T* cavity;
  const T* cost;
  T* unary;
  T rho, damping;
  bool unary_head, relative;
};

/// Sum of a row over labels in 16 interleaved partial sums, then halves: OrderedSum of
/// cpp/cpu/simd.hpp, to the bit. Elements beyond the last label must be zero.
template <class T, int NK>
__device__ __forceinline__ T ordered_sum(const WarpRow<T, NK>& row) {
  T partial = T(0);  // lanes 0..15 count
#pragma unroll
  for (int k = 0; k < NK; ++k) {
    const T upper = __shfl_sync(kAllLanes, row.at[k], (lane_index() + 16) & (kWarp - 1));
    partial = partial + row.at[k];
    partial = partial + upper;
  }
#pragma unroll
  for (int apart = 8; apart > 0; apart /= 2)
    partial = partial + __shfl_sync(kAllLanes, partial, (lane_index() + apart) & (kWarp - 1));
  return __shfl_sync(kAllLanes, partial, 0);
}

/// Gradient of x from that of x - min x, `minimum` being the label of the minimum.
template <class T, int NK>
__device__ __forceinline__ void subtract_at(WarpRow<T, NK>& g, int minimum) {
  const T total = ordered_sum(g);
#pragma unroll
  for (int k = 0; k < NK; ++k) {
    if (WarpRow<T, NK>::label(k) == minimum) g.at[k] -= total;
  }
}

/// Adjoint of Eq 3.10.
template <class T, int NK>
struct TrwpAdjoint {
  static constexpr bool kMinimumOfState = false;
  using Row = WarpRow<T, NK>;
  const AdjointMemory<T>& a;

  __device__ __forceinline__ void head(int64_t pixel, const Row& gh, int) const {
    Row sum = read_row<T, NK>(a.sum, pixel, a.labels);
    Row other = read_row<T, NK>(a.other, pixel, a.labels);
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      sum.at[k] = sum.at[k] + a.rho * gh.at[k];
      other.at[k] = other.at[k] - gh.at[k];
    }
    write_row(a.sum, pixel, a.labels, sum);
    write_row(a.other, pixel, a.labels, other);
  }
  __device__ __forceinline__ Row node(int64_t pixel, const Row& gh, int) const {
    Row sum = read_row<T, NK>(a.sum, pixel, a.labels);
    Row own = read_row<T, NK>(a.own, pixel, a.labels);
    Row other = read_row<T, NK>(a.other, pixel, a.labels);
    Row g;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      sum.at[k] = sum.at[k] + a.rho * gh.at[k];
      const T m = own.at[k] + sum.at[k];
      other.at[k] = other.at[k] - gh.at[k];
      own.at[k] = a.damping * m - sum.at[k];
      g.at[k] = (T(1) - a.damping) * m;
    }
    write_row(a.other, pixel, a.labels, other);
    write_row(a.sum, pixel, a.labels, sum);
    write_row(a.own, pixel, a.labels, own);
    return g;
  }
};

/// Adjoint of Eq 3.9, second direction of the pair: leaves the gradient of the cavity for the
/// first, in the message's own place when nothing is damped.
template <class T, int NK>
struct IsgmrBackwardAdjoint {
  static constexpr bool kMinimumOfState = false;
  using Row = WarpRow<T, NK>;
  const AdjointMemory<T>& a;

  __device__ __forceinline__ void head(int64_t pixel, const Row& gh, int) const {
    const Row none{};
    write_row(a.own, pixel, a.labels, none);
    write_row(a.cavity, pixel, a.labels, gh);
  }
  __device__ __forceinline__ Row node(int64_t pixel, const Row& gh, int) const {
    const Row sum = read_row<T, NK>(a.sum, pixel, a.labels);
    Row own = read_row<T, NK>(a.own, pixel, a.labels);
    Row g;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const T m = own.at[k] + sum.at[k] + gh.at[k];
      own.at[k] = a.damping * m;
      g.at[k] = (T(1) - a.damping) * m;
    }
    write_row(a.own, pixel, a.labels, own);
    write_row(a.cavity, pixel, a.labels, gh);
    return g;
  }
};

/// Adjoint of Eq 3.9, first direction of the pair.
template <class T, int NK>
struct IsgmrForwardAdjoint {
  static constexpr bool kMinimumOfState = false;
  using Row = WarpRow<T, NK>;
  const AdjointMemory<T>& a;

  __device__ __forceinline__ void head(int64_t pixel, const Row& gh, int) const { step(pixel, gh); }
  __device__ __forceinline__ Row node(int64_t pixel, const Row& gh, int) const {
    return step(pixel, gh);
  }

 private:
  __device__ __forceinline__ Row step(int64_t pixel, const Row& gh) const {
    const bool damped = a.other != a.cavity;
    const Row sum = read_row<T, NK>(a.sum, pixel, a.labels);
    const Row cavity = read_row<T, NK>(a.cavity, pixel, a.labels);
    Row before = read_row<T, NK>(a.sum_before, pixel, a.labels);
    Row own = read_row<T, NK>(a.own, pixel, a.labels);
    Row other{};
    if (damped) other = read_row<T, NK>(a.other, pixel, a.labels);
    Row g;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const T m = own.at[k] + sum.at[k] + gh.at[k];
      const T c = cavity.at[k] + gh.at[k];
      own.at[k] = a.damping * m - sum.at[k] - c;
      other.at[k] = other.at[k] - sum.at[k] - c;
      before.at[k] = before.at[k] + c;
      g.at[k] = (T(1) - a.damping) * m;
    }
    write_row(a.own, pixel, a.labels, own);
    write_row(a.other, pixel, a.labels, other);
    write_row(a.sum_before, pixel, a.labels, before);
    return g;
  }
};

/// Adjoint of Eq 3.3.
template <class T, int NK>
struct SgmAdjoint {
  static constexpr bool kMinimumOfState = true;
  using Row = WarpRow<T, NK>;
  const AdjointMemory<T>& a;

  __device__ __forceinline__ void head(int64_t pixel, const Row& gh, int minimum) const {
    const Row g = path(pixel, gh, minimum);
    if (a.unary_head) add_to_unary(pixel, g);
  }
  __device__ __forceinline__ Row node(int64_t pixel, const Row& gh, int minimum) const {
    const Row g = path(pixel, gh, minimum);
    add_to_unary(pixel, g);
    return g;
  }

 private:
  /// h = L - min L was handed on, L (or h, if relative) was added to the cost.
  __device__ __forceinline__ Row path(int64_t pixel, const Row& gh, int minimum) const {
    const Row cost = read_row<T, NK>(a.cost, pixel, a.labels);
    Row g = gh;
    if (a.relative) {
#pragma unroll
      for (int k = 0; k < NK; ++k) g.at[k] = gh.at[k] + cost.at[k];
    }
    subtract_at(g, minimum);
    if (a.relative) return g;
#pragma unroll
    for (int k = 0; k < NK; ++k) g.at[k] = g.at[k] + cost.at[k];
    return g;
  }
  __device__ __forceinline__ void add_to_unary(int64_t pixel, const Row& g) const {
    Row unary = read_row<T, NK>(a.unary, pixel, a.labels);
#pragma unroll
    for (int k = 0; k < NK; ++k) unary.at[k] = unary.at[k] + g.at[k];
    write_row(a.unary, pixel, a.labels, unary);
  }
};

}  // namespace mrfcore::cuda
