// SPDX-License-Identifier: Apache-2.0
// Soft minima out(l) = -t log sum_m exp(-(h(m) + w V(m, l)) / t) of a row that a block holds, one
// label per thread: the expressions of cpp/cpu/soft_min.cpp in its order, so that values agree to
// the bit but for the logarithm, which is the GPU's (1 unit in the last place; table_gradient()
// needs none).
#pragma once

#include <cmath>

#include "core/exponential.hpp"
#include "core/scanline.hpp"
#include "kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {

/// A scanline has a block, a label a thread.
constexpr int kMostSoftLabels = 1024;

inline unsigned soft_threads(int labels) {
  return static_cast<unsigned>((labels + kWarp - 1) / kWarp * kWarp);
}

/// What sweep_pair() and adjoint_pair() do with soft minima: ISGMR and TRWP, no arg-mins.
template <class T>
int soft_sweep_pair(const cpu::SweepArgs<T>& args, const Batch& batch, Stream stream);
template <class T>
int soft_adjoint_pair(const cpu::AdjointArgs<T>& args, const Batch& batch,
                      const MessageGradients<T>& left_behind, Stream stream);

/// Where the block's scanline lies. Offsets of the item are in indices, not in pointers, which stay
/// the kernel's parameters and take no registers.
struct Place {
  core::Scanline line;
  int64_t volume;  ///< first element of the item
  int64_t edges;   ///< first edge of the item's pair
};

template <class T>
__device__ __forceinline__ T soft_term(T lowest, T h, T v, T w, T inverse_t) {
  return core::exp_nonpositive((lowest - (h + v * w)) * inverse_t);
}

/// Column l of N soft minima: the lowest candidate, and the sum of exponentials relative to it.
template <class T, int N>
struct SoftColumns {
  T lowest[N];
  T total[N];
};

/// column: V(0, l), further rows `labels` apart. N rows h share what is read of V.
template <class T, int N>
__device__ __forceinline__ SoftColumns<T, N> soft_columns(const T* column, int labels,
                                                          const T* const (&h)[N], const T (&w)[N],
                                                          T inverse_t) {
  SoftColumns<T, N> found;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    found.lowest[j] = kForbidden<T> * T(4);
    found.total[j] = T(0);
  }
  const T* v = column;
#pragma unroll 4
  for (int m = 0; m < labels; ++m, v += labels) {
#pragma unroll
    for (int j = 0; j < N; ++j) found.lowest[j] = lower(h[j][m] + __ldg(v) * w[j], found.lowest[j]);
  }
  v = column;
#pragma unroll 4
  for (int m = 0; m < labels; ++m, v += labels) {
#pragma unroll
    for (int j = 0; j < N; ++j)
      found.total[j] += soft_term(found.lowest[j], h[j][m], __ldg(v), w[j], inverse_t);
  }
  return found;
}

/// The message; a minimum never picks a thread without a label.
template <class T>
__device__ __forceinline__ T soft_minimum(const SoftColumns<T, 1>& column, T temperature) {
  return column.lowest[0] - temperature * std::log(column.total[0]);
}

/// The lower value, of equal ones that of the lower label.
template <class T>
struct Lowest {
  T value;
  int label;

  __device__ __forceinline__ void offer(T other, int other_label) {
    if (other < value || (other == value && other_label < label)) {
      value = other;
      label = other_label;
    }
  }
};

/// Minimum over a block in two halves with a barrier between: each warp leaves its own in shared
/// memory, then every warp reads them all. Arrays have an element per warp.
template <class T>
struct BlockMinimum {
  T* values;
  int* labels;

  __device__ __forceinline__ void leave(T value, int label) const {
    const Lowest<T> lowest = of_warp({value, label});
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    if (lane_index() == 0) {
      values[warp] = lowest.value;
      labels[warp] = lowest.label;
    }
  }
  __device__ __forceinline__ Lowest<T> all() const {
    const int warps = static_cast<int>(blockDim.x) / kWarp;
    const int warp = lane_index() < warps ? lane_index() : 0;
    return of_warp({values[warp], labels[warp]});
  }

 private:
  static __device__ __forceinline__ Lowest<T> of_warp(Lowest<T> lowest) {
#pragma unroll
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
      const T value = __shfl_xor_sync(kAllLanes, lowest.value, apart);
      lowest.offer(value, __shfl_xor_sync(kAllLanes, lowest.label, apart));
    }
    return lowest;
  }
};

}  // namespace mrfcore::cuda
