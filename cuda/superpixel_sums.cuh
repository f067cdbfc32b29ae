// SPDX-License-Identifier: Apache-2.0
// Sums over superpixels, by pieces (superpixel_lists.cuh): a warp has a piece, at most 2048 pixels
// of a superpixel, and four channels. Lane i adds places i, 32 + i, ... of the list, lanes are
// added by halves, pieces of larger superpixels by lanes again in a launch of their own: one order.
#pragma once

#include "superpixel_pieces.cuh"

namespace mrfcore::cuda {

template <class T>
struct SumParameters {
  SuperpixelLists lists;
  int64_t channels;
  const T* x;
  T* z;         ///< of pooling
  T* out;       ///< of consistency
  T* partials;  ///< [items, channels, slots]
  bool mean;
  bool keep, adjoint;

  __device__ const T* planes(const ImageLists& image, const Share& share) const {
    return x + (image.item * channels + share.channel) * lists.pixels;
  }
  __device__ T* results(const ImageLists& image, const Share& share) const {
    return out + (image.item * channels + share.channel) * lists.pixels;
  }
  __device__ T* partials_of(const ImageLists& image, const Share& share) const {
    return partials + (image.item * channels + share.channel) * lists.slots;
  }
};

/// Sums of a piece, the same in all lanes.
template <class T>
__device__ __forceinline__ void sum_piece(const SumParameters<T>& p, const ImageLists& image,
                                          const Share& share, bool valid_only,
                                          T (&sums)[kTogether]) {
#pragma unroll
  for (int k = 0; k < kTogether; ++k) sums[k] = T(0);
  each_value(image, share, p.planes(image, share), valid_only,
             [&](int32_t, bool, const T(&values)[kTogether]) {
#pragma unroll
               for (int k = 0; k < kTogether; ++k) sums[k] += values[k];
             });
#pragma unroll
  for (int k = 0; k < kTogether; ++k) sums[k] = warp_sum(sums[k]);
}

template <class T>
__device__ __forceinline__ void keep_partial(const SumParameters<T>& p, const ImageLists& image,
                                             const Share& share, const T (&sums)[kTogether]) {
  T* to = p.partials_of(image, share) + slot_of(share.from, share.last);
#pragma unroll
  for (int k = 0; k < kTogether; ++k) {
    if (lane_index() == k && k < share.channels) to[k * p.lists.slots] = sums[k];
  }
}

/// Sums over all pieces of a superpixel.
template <class T>
__device__ __forceinline__ void add_partials(const SumParameters<T>& p, const ImageLists& image,
                                             const Share& share, T (&sums)[kTogether]) {
  const T* from = p.partials_of(image, share);
#pragma unroll
  for (int k = 0; k < kTogether; ++k) sums[k] = T(0);
  for (int64_t at = share.first + lane_index() * kPiecePixels; at < share.last;
       at += kWarp * kPiecePixels) {
    const int64_t slot = slot_of(static_cast<int32_t>(at), share.last);
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      if (k < share.channels) sums[k] += from[k * p.lists.slots + slot];
    }
  }
#pragma unroll
  for (int k = 0; k < kTogether; ++k) sums[k] = warp_sum(sums[k]);
}

/// Sums become means; nothing becomes 0.
template <class T>
__device__ __forceinline__ void divide(int32_t count, T (&sums)[kTogether]) {
#pragma unroll
  for (int k = 0; k < kTogether; ++k) {
    sums[k] = count > 0 ? sums[k] / static_cast<T>(count) : T(0);
  }
}

template <class T>
inline dim3 share_grid(const SumParameters<T>& p, int64_t items, int warps) {
  return {static_cast<unsigned>(share_blocks(p.lists, p.channels, warps)),
          static_cast<unsigned>(items)};
}

template <class T>
inline T* partials_in(const kernels::SuperpixelScratch& at, void* scratch) {
  return reinterpret_cast<T*>(static_cast<unsigned char*>(scratch) + at.partials);
}

}  // namespace mrfcore::cuda
