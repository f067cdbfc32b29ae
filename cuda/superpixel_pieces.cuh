// SPDX-License-Identifier: Apache-2.0
// How a warp reads a piece of a superpixel's list, kTogether channels at a time: 32 neighbours of
// the list, which are runs of an image row, kBatch lines of them under way per channel.
#pragma once

#include <algorithm>

#include "superpixel_lists.cuh"

namespace mrfcore::cuda {

constexpr int kTogether = 4;  ///< channels
constexpr int kBatch = 4;     ///< places of a list that a lane reads at once

/// Sum over the lanes, the same in all of them, in one order: additions commute.
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) x += __shfl_xor_sync(kAllLanes, x, apart);
  return x;
}

/// A piece and the channels that a warp has of it.
struct Share {
  int32_t superpixel, from, to;  ///< places of the list
  int32_t first, last;           ///< of the whole list
  int64_t channel;
  int channels;

  __device__ Share(const ImageLists& image, const Piece& piece, int64_t group, int64_t all)
      : superpixel(piece.superpixel),
        from(piece.from),
        first(image.begins[piece.superpixel]),
        last(image.begins[piece.superpixel + 1]),
        channel(group * kTogether),
        channels(static_cast<int>(min(all - channel, int64_t{kTogether}))) {
    to = static_cast<int32_t>(min(int64_t{from} + kPiecePixels, int64_t{last}));
  }
  __device__ bool whole() const { return last - first <= kPiecePixels; }
};

/// Where the partial result of the piece from `from` on is kept, if there are several: lists that
/// long begin no closer than a piece, so two may begin in one window only if one is a last one.
__device__ __forceinline__ int64_t slot_of(int32_t from, int32_t last) {
  const bool ends = int64_t{from} + kPiecePixels >= last;
  return 2 * (from / kPiecePixels) + (ends ? 1 : 0);
}

/// Calls f(the warp's Share) for all pieces and groups of channels of an image, warp by warp.
template <class F>
__device__ __forceinline__ void each_share(const SuperpixelLists& lists, const ImageLists& image,
                                           int64_t channels, const F& f) {
  const int64_t groups = (channels + kTogether - 1) / kTogether;
  const int64_t shares = lists.piece_counts[image.item] * groups;
  const int64_t warps = blockDim.x / kWarp, step = gridDim.x * warps;
  for (int64_t i = blockIdx.x * warps + threadIdx.x / kWarp; i < shares; i += step) {
    f(Share(image, image.pieces[i / groups], i % groups, channels));
  }
}

/// Calls f(pixel, valid, its values of the share's channels) for this lane's places in their order.
template <class T, class F>
__device__ __forceinline__ void each_value(const ImageLists& image, const Share& share, const T* x,
                                           bool valid_only, const F& f) {
  for (int64_t place = share.from + lane_index(); place < share.to; place += kBatch * kWarp) {
    int32_t entry[kBatch];
    bool inside[kBatch];
    T values[kBatch][kTogether];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      inside[i] = place + i * kWarp < share.to;
      entry[i] = inside[i] ? __ldg(image.order + place + i * kWarp) : 0;
      inside[i] = inside[i] && (entry[i] >= 0 || !valid_only);
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const T* at = x + (entry[i] < 0 ? ~entry[i] : entry[i]);
#pragma unroll
      for (int k = 0; k < kTogether; ++k) {
        values[i][k] =
            inside[i] && k < share.channels ? __ldg(at + k * int64_t{image.pixels}) : T(0);
      }
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (inside[i]) f(entry[i] < 0 ? ~entry[i] : entry[i], entry[i] >= 0, values[i]);
    }
  }
}

/// Blocks for all shares of an image. Where nobody knows how many there will be: as many as
/// superpixels of 64 pixels would want; with smaller ones, warps go round.
inline int64_t share_blocks(const SuperpixelLists& lists, int64_t channels, int64_t warps) {
  constexpr int64_t kUsual = 64;
  const int64_t groups = (channels + kTogether - 1) / kTogether;
  const bool known = lists.highest == nullptr;
  const int64_t usual = std::max(lists.pixels / kUsual, kUsual);
  const int64_t pieces = known ? lists.most_pieces : std::min(lists.most_pieces, usual);
  return std::min((pieces * groups + warps - 1) / warps, int64_t{1} << (known ? 30 : 11));
}

}  // namespace mrfcore::cuda
