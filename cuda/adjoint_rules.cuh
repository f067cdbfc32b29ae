// SPDX-License-Identifier: Apache-2.0
// Adjoints of the rules in rules.cuh: those of cpp/cpu/adjoint_rules.hpp, expression by expression.
// `read` fetches what a node needs and can be asked for early, as there. `arrive` takes the
// gradient gh of the vector that a node handed on to that of the vector that lost its minimum,
// which the caller undoes; `leave` takes that to the gradient of the message. `head` is for the
// first node of a scanline; where kMinimumOfState, it follows `arrive`.
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

/// Adjoint of Eq 3.10.
template <class T, int NK>
struct TrwpAdjoint {
  static constexpr bool kMinimumOfState = false;
  using Row = WarpRow<T, NK>;
  struct Node {
    Row sum, own, other;
  };
  const AdjointMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t pixel) const {
    return {read_row<T, NK>(a.sum, pixel, a.labels), read_row<T, NK>(a.own, pixel, a.labels),
            read_row<T, NK>(a.other, pixel, a.labels)};
  }
  __device__ __forceinline__ void head(int64_t pixel, const Node& n, const Row& gh) const {
    Row sum, other;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      sum.at[k] = n.sum.at[k] + a.rho * gh.at[k];
      other.at[k] = n.other.at[k] - gh.at[k];
    }
    write_row(a.sum, pixel, a.labels, sum);
    write_row(a.other, pixel, a.labels, other);
  }
  __device__ __forceinline__ Row arrive(int64_t pixel, const Node& n, const Row& gh) const {
    Row sum, own, other, g;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      sum.at[k] = n.sum.at[k] + a.rho * gh.at[k];
      const T m = n.own.at[k] + sum.at[k];
      other.at[k] = n.other.at[k] - gh.at[k];
      own.at[k] = a.damping * m - sum.at[k];
      g.at[k] = (T(1) - a.damping) * m;
    }
    write_row(a.other, pixel, a.labels, other);
    write_row(a.sum, pixel, a.labels, sum);
    write_row(a.own, pixel, a.labels, own);
    return g;
  }
  __device__ __forceinline__ Row leave(int64_t, const Node&, const Row& g) const { return g; }
};

/// Adjoint of Eq 3.9, second direction of the pair: leaves the gradient of the cavity for the
/// first, in the message's own place when nothing is damped.
template <class T, int NK>
struct IsgmrBackwardAdjoint {
  static constexpr bool kMinimumOfState = false;
  using Row = WarpRow<T, NK>;
  struct Node {
    Row sum, own;
  };
  const AdjointMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t pixel) const {
    return {read_row<T, NK>(a.sum, pixel, a.labels), read_row<T, NK>(a.own, pixel, a.labels)};
  }
  __device__ __forceinline__ void head(int64_t pixel, const Node&, const Row& gh) const {
    const Row none{};
    write_row(a.own, pixel, a.labels, none);
    write_row(a.cavity, pixel, a.labels, gh);
  }
  __device__ __forceinline__ Row arrive(int64_t pixel, const Node& n, const Row& gh) const {
    Row own, g;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const T m = n.own.at[k] + n.sum.at[k] + gh.at[k];
      own.at[k] = a.damping * m;
      g.at[k] = (T(1) - a.damping) * m;
    }
    write_row(a.own, pixel, a.labels, own);
    write_row(a.cavity, pixel, a.labels, gh);
    return g;
  }
  __device__ __forceinline__ Row leave(int64_t, const Node&, const Row& g) const { return g; }
};

/// Adjoint of Eq 3.9, first direction of the pair.
template <class T, int NK>
struct IsgmrForwardAdjoint {
  static constexpr bool kMinimumOfState = false;
  using Row = WarpRow<T, NK>;
  struct Node {
    Row sum, cavity, before, own, other;
  };
  const AdjointMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t pixel) const {
    const bool damped = a.other != a.cavity;
    return {read_row<T, NK>(a.sum, pixel, a.labels), read_row<T, NK>(a.cavity, pixel, a.labels),
            read_row<T, NK>(a.sum_before, pixel, a.labels), read_row<T, NK>(a.own, pixel, a.labels),
            damped ? read_row<T, NK>(a.other, pixel, a.labels) : Row{}};
  }
  __device__ __forceinline__ void head(int64_t pixel, const Node& n, const Row& gh) const {
    arrive(pixel, n, gh);
  }
  __device__ __forceinline__ Row arrive(int64_t pixel, const Node& n, const Row& gh) const {
    Row before, own, other, g;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const T m = n.own.at[k] + n.sum.at[k] + gh.at[k];
      const T c = n.cavity.at[k] + gh.at[k];
      own.at[k] = a.damping * m - n.sum.at[k] - c;
      other.at[k] = n.other.at[k] - n.sum.at[k] - c;
      before.at[k] = n.before.at[k] + c;
      g.at[k] = (T(1) - a.damping) * m;
    }
    write_row(a.own, pixel, a.labels, own);
    write_row(a.other, pixel, a.labels, other);
    write_row(a.sum_before, pixel, a.labels, before);
    return g;
  }
  __device__ __forceinline__ Row leave(int64_t, const Node&, const Row& g) const { return g; }
};

/// Adjoint of Eq 3.3: h = L - min L was handed on, L (or h, if relative) was added to the cost.
template <class T, int NK>
struct SgmAdjoint {
  static constexpr bool kMinimumOfState = true;
  using Row = WarpRow<T, NK>;
  struct Node {
    Row cost, unary;
  };
  const AdjointMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t pixel) const {
    return {read_row<T, NK>(a.cost, pixel, a.labels), read_row<T, NK>(a.unary, pixel, a.labels)};
  }
  __device__ __forceinline__ Row arrive(int64_t, const Node& n, const Row& gh) const {
    return a.relative ? plus(gh, n.cost) : gh;
  }
  __device__ __forceinline__ Row leave(int64_t pixel, const Node& n, const Row& g) const {
    const Row path = a.relative ? g : plus(g, n.cost);
    write_row(a.unary, pixel, a.labels, plus(n.unary, path));
    return path;
  }
  __device__ __forceinline__ void head(int64_t pixel, const Node& n, const Row& g) const {
    if (a.unary_head) leave(pixel, n, g);
  }

 private:
  static __device__ __forceinline__ Row plus(const Row& x, const Row& y) {
    Row sum;
#pragma unroll
    for (int k = 0; k < NK; ++k) sum.at[k] = x.at[k] + y.at[k];
    return sum;
  }
};

}  // namespace mrfcore::cuda
