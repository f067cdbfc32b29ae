// SPDX-License-Identifier: Apache-2.0
// A row of sums of 16 bits with their labels, held by one warp as packed_row.cuh does: one number
// for each pair, so that a minimum finds the lowest of the best labels.
#pragma once

#include "packed_row.cuh"

namespace mrfcore::cuda {

constexpr int kLabelBits = 8;
constexpr unsigned kNoKey = 0xffffffffU;

__device__ __forceinline__ int label_of(unsigned key) {
  return key == kNoKey ? -1 : static_cast<int>(key & ((1U << kLabelBits) - 1));
}
__device__ __forceinline__ float cost_of(unsigned key) {
  return static_cast<float>(key >> kLabelBits);
}

template <int K>
struct Keys {
  unsigned at[K];

  static __device__ __forceinline__ int label(int k) { return K * lane_index() + k; }
};

template <int K>
__device__ __forceinline__ unsigned least_key(const Keys<K>& keys) {
  unsigned least = keys.at[0];
#pragma unroll
  for (int k = 1; k < K; ++k) least = min(least, keys.at[k]);
  return __reduce_min_sync(kAllLanes, least);
}

/// The best of all labels but `label` and its neighbours.
template <int K>
__device__ __forceinline__ unsigned rival_key(const Keys<K>& keys, int label) {
  Keys<K> far = keys;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (static_cast<unsigned>(Keys<K>::label(k) - label + 1) <= 2U) far.at[k] = kNoKey;
  }
  return least_key(far);
}

/// The key of a label, the same one in all lanes. Halving, since a chain of comparisons with k
/// would be compiled into an array in memory.
template <int K>
__device__ __forceinline__ unsigned key_of(const Keys<K>& keys, int label) {
  Keys<K> rest = keys;
#pragma unroll
  for (int half = 1; half < K; half *= 2) {
#pragma unroll
    for (int k = 0; k < K; k += 2 * half)
      rest.at[k] = (label & half) != 0 ? rest.at[k + half] : rest.at[k];
  }
  return __shfl_sync(kAllLanes, rest.at[0], (label / K) & (kWarp - 1));
}

}  // namespace mrfcore::cuda
