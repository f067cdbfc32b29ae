// SPDX-License-Identifier: Apache-2.0
// The rules of rules.cuh and adjoint_rules.cuh for one label per thread: ISGMR and TRWP at a node,
// element `at` of all volumes. What a node needs is read apart from its use, so that a scanline's
// next node is asked for early.
#pragma once

#include "adjoint_rules.cuh"
#include "rules.cuh"

namespace mrfcore::cuda {

/// Eq 3.10.
template <class T>
struct SoftTrwp {
  struct Node {
    T sum, own, other;
  };
  const SweepMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t at) const {
    return {a.sum[at], a.own[at], a.other[at]};
  }
  __device__ __forceinline__ T head(int64_t, const Node& n) const {
    return a.rho * n.sum - n.other;
  }
  __device__ __forceinline__ T node(int64_t at, const Node& n, T m, T lowest) const {
    const T own = damp(m - lowest, n.own, a.damping);
    const T sum = n.sum + (own - n.own);
    a.own[at] = own;
    a.sum[at] = sum;
    return a.rho * sum - n.other;
  }
};

/// Eq 3.9, first direction of the pair: leaves the cavity for the second.
template <class T>
struct SoftIsgmrForward {
  struct Node {
    T sum, own, other;
  };
  const SweepMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t at) const {
    return {a.sum[at], a.own[at], a.other[at]};
  }
  __device__ __forceinline__ T head(int64_t at, const Node& n) const {
    const T cavity = n.sum - n.own - n.other;
    a.cavity[at] = cavity;
    return cavity;
  }
  __device__ __forceinline__ T node(int64_t at, const Node& n, T m, T lowest) const {
    const T cavity = n.sum - n.own - n.other;
    const T own = damp(m - lowest, n.own, a.damping);
    a.cavity[at] = cavity;
    a.own[at] = own;
    return cavity + own;
  }
};

/// Eq 3.9, second direction.
template <class T>
struct SoftIsgmrBackward {
  struct Node {
    T cavity, own;
  };
  const SweepMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t at) const { return {a.cavity[at], a.own[at]}; }
  __device__ __forceinline__ T head(int64_t at, const Node& n) const {
    a.own[at] = T(0);
    return n.cavity;
  }
  __device__ __forceinline__ T node(int64_t at, const Node& n, T m, T lowest) const {
    const T own = damp(m - lowest, n.own, a.damping);
    a.own[at] = own;
    return n.cavity + own;
  }
};

/// What nodes sent, from messages before and after the iteration and the sum of theta and messages.
template <class T>
struct SoftState {
  struct Node {
    T sum, own_before, own_after, other;
  };
  T* sum;
  const T* own_before;
  const T* own_after;
  const T* other;
  T rho;

  __device__ __forceinline__ Node read(int64_t at) const {
    return {sum[at], own_before[at], own_after[at], other[at]};
  }
};

/// TRWP (Eq 3.10): `sum` is the newest and rewound, `other` the message as it was then.
template <class T>
struct SoftTrwpState : SoftState<T> {
  static constexpr bool kNewest = true;
  using Node = typename SoftState<T>::Node;
  __device__ __forceinline__ T sent(const Node& n) const { return this->rho * n.sum - n.other; }
  __device__ __forceinline__ void rewind(int64_t at, const Node& n) const {
    this->sum[at] = n.sum - (n.own_after - n.own_before);
  }
};

/// ISGMR (Eq 3.9): `sum` and `other` are those before the iteration.
template <class T>
struct SoftIsgmrState : SoftState<T> {
  static constexpr bool kNewest = false;
  using Node = typename SoftState<T>::Node;
  __device__ __forceinline__ T sent(const Node& n) const {
    return n.sum - n.own_before - n.other + n.own_after;
  }
  __device__ __forceinline__ void rewind(int64_t, const Node&) const {}
};

/// Adjoint of Eq 3.10.
template <class T>
struct SoftTrwpAdjoint {
  struct Node {
    T sum, own, other;
  };
  const AdjointMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t at) const {
    return {a.sum[at], a.own[at], a.other[at]};
  }
  __device__ __forceinline__ void head(int64_t at, const Node& n, T gh) const {
    a.sum[at] = n.sum + a.rho * gh;
    a.other[at] = n.other - gh;
  }
  __device__ __forceinline__ T node(int64_t at, const Node& n, T gh) const {
    const T sum = n.sum + a.rho * gh;
    const T m = n.own + sum;
    a.other[at] = n.other - gh;
    a.sum[at] = sum;
    a.own[at] = a.damping * m - sum;
    return (T(1) - a.damping) * m;
  }
};

/// Adjoint of Eq 3.9, second direction of the pair: leaves the gradient of the cavity for the
/// first, in the message's own place when nothing is damped.
template <class T>
struct SoftIsgmrBackwardAdjoint {
  struct Node {
    T sum, own;
  };
  const AdjointMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t at) const { return {a.sum[at], a.own[at]}; }
  __device__ __forceinline__ void head(int64_t at, const Node&, T gh) const {
    a.own[at] = T(0);
    a.cavity[at] = gh;
  }
  __device__ __forceinline__ T node(int64_t at, const Node& n, T gh) const {
    const T m = n.own + n.sum + gh;
    a.own[at] = a.damping * m;
    a.cavity[at] = gh;
    return (T(1) - a.damping) * m;
  }
};

/// Adjoint of Eq 3.9, first direction of the pair.
template <class T>
struct SoftIsgmrForwardAdjoint {
  struct Node {
    T sum, own, other, cavity, before;
  };
  const AdjointMemory<T>& a;

  __device__ __forceinline__ Node read(int64_t at) const {
    const bool damped = a.other != a.cavity;
    return {a.sum[at], a.own[at], damped ? a.other[at] : T(0), a.cavity[at], a.sum_before[at]};
  }
  __device__ __forceinline__ void head(int64_t at, const Node& n, T gh) const { node(at, n, gh); }
  __device__ __forceinline__ T node(int64_t at, const Node& n, T gh) const {
    const T m = n.own + n.sum + gh;
    const T c = n.cavity + gh;
    a.own[at] = a.damping * m - n.sum - c;
    a.other[at] = n.other - n.sum - c;
    a.sum_before[at] = n.before + c;
    return (T(1) - a.damping) * m;
  }
};

}  // namespace mrfcore::cuda
