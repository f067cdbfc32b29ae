// SPDX-License-Identifier: Apache-2.0
// Maxima over superpixels and the first pixel that has each: pieces as in superpixel.cu, with the
// pixel kept beside the value. The order of comparisons does not show: the larger value wins, NaN
// before all others, among equals the lower pixel. Bytes as pooling; 3 more operations a value.
#include "superpixel_pieces.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kBlocks = 2;  ///< of a multiprocessor, at least: registers for loads under way

template <class T>
struct MaximumParameters {
  SuperpixelLists lists;
  int64_t channels;
  const T* x;
  T* z;
  int64_t* winners;   ///< or null
  int32_t* partials;  ///< pixels
};

/// A value and its pixel; none: -1.
template <class T>
struct Best {
  T value;
  int32_t pixel;

  __device__ __forceinline__ void meet(T other, int32_t at) {
    const bool nan = value != value, other_nan = other != other;
    const bool equal = other == value || (nan && other_nan);
    const bool better = pixel < 0 || (other_nan && !nan) || other > value || (equal && at < pixel);
    if (at >= 0 && better) {
      value = other;
      pixel = at;
    }
  }
};

template <class T>
__device__ __forceinline__ void meet_lanes(Best<T>& best) {
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, best.value, apart);
    const int32_t pixel = __shfl_xor_sync(kAllLanes, best.pixel, apart);
    best.meet(other, pixel);
  }
}

template <class T>
__device__ __forceinline__ void write_maxima(const MaximumParameters<T>& p, const ImageLists& image,
                                             const Share& share, const Best<T> (&best)[kTogether]) {
  const int64_t at = (image.item * p.channels + share.channel) * image.num + share.superpixel;
#pragma unroll
  for (int k = 0; k < kTogether; ++k) {
    if (lane_index() != k || k >= share.channels) continue;
    p.z[at + k * image.num] = best[k].pixel < 0 ? T(0) : best[k].value;
    if (p.winners != nullptr) p.winners[at + k * image.num] = best[k].pixel;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    maximum_kernel(const __grid_constant__ MaximumParameters<T> p) {
  const ImageLists image(p.lists, blockIdx.y);
  each_share(p.lists, image, p.channels, [&](const Share& share) {
    const int64_t plane = image.item * p.channels + share.channel;
    Best<T> best[kTogether];
#pragma unroll
    for (int k = 0; k < kTogether; ++k) best[k] = {T(0), -1};
    each_value(image, share, p.x + plane * p.lists.pixels, false,
               [&](int32_t pixel, bool, const T(&values)[kTogether]) {
#pragma unroll
                 for (int k = 0; k < kTogether; ++k) best[k].meet(values[k], pixel);
               });
#pragma unroll
    for (int k = 0; k < kTogether; ++k) meet_lanes(best[k]);
    if (share.whole()) {
      write_maxima(p, image, share, best);
      return;
    }
    int32_t* to = p.partials + plane * p.lists.slots + slot_of(share.from, share.last);
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      if (lane_index() == k && k < share.channels) to[k * p.lists.slots] = best[k].pixel;
    }
  });
}

/// Superpixels of several pieces; their first ones do it.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    maximum_rest_kernel(const __grid_constant__ MaximumParameters<T> p) {
  const ImageLists image(p.lists, blockIdx.y);
  each_share(p.lists, image, p.channels, [&](const Share& share) {
    if (share.whole() || share.from != share.first) return;
    const int64_t plane = image.item * p.channels + share.channel;
    Best<T> best[kTogether];
#pragma unroll
    for (int k = 0; k < kTogether; ++k) best[k] = {T(0), -1};
    for (int64_t at = share.first + lane_index() * kPiecePixels; at < share.last;
         at += kWarp * kPiecePixels) {
      const int64_t slot = slot_of(static_cast<int32_t>(at), share.last);
#pragma unroll
      for (int k = 0; k < kTogether; ++k) {
        if (k >= share.channels) continue;
        const int32_t pixel = p.partials[(plane + k) * p.lists.slots + slot];
        best[k].meet(__ldg(p.x + (plane + k) * p.lists.pixels + pixel), pixel);
      }
    }
#pragma unroll
    for (int k = 0; k < kTogether; ++k) meet_lanes(best[k]);
    write_maxima(p, image, share, best);
  });
}

}  // namespace

template <class T>
int superpixel_maximum(const SuperpixelLists& lists, int64_t items, int64_t channels, const T* x,
                       T* z, int64_t* winners, int32_t* partials, Stream stream) {
  const MaximumParameters<T> p{lists, channels, x, z, winners, partials};
  const dim3 grid(static_cast<unsigned>(share_blocks(lists, channels, kWarps)),
                  static_cast<unsigned>(items));
  const auto queue = static_cast<cudaStream_t>(stream);
  MRF_LAUNCH(maximum_kernel<T>, grid, dim3(kThreads), 0, queue, p);
  if (lists.pixels > kPiecePixels)
    MRF_LAUNCH(maximum_rest_kernel<T>, grid, dim3(kThreads), 0, queue, p);
  return static_cast<int>(cudaGetLastError());
}

template int superpixel_maximum<float>(const SuperpixelLists&, int64_t, int64_t, const float*,
                                       float*, int64_t*, int32_t*, Stream);
template int superpixel_maximum<double>(const SuperpixelLists&, int64_t, int64_t, const double*,
                                        double*, int64_t*, int32_t*, Stream);

}  // namespace mrfcore::cuda
