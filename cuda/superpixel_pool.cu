// SPDX-License-Identifier: Apache-2.0
// Pooling and unpooling (Eq 4.13-4.14). Pooling reads x by the lists of superpixels, in pieces;
// unpooling is a gather by the map, a thread per pixel for all channels.
//
// Bytes per value, T = 4: 4 each, and the list of pooling (4 bytes a pixel for each four channels,
// from L2) with its sort (superpixel_lists.cu); unpooling reads ids once for all channels, z stays
// in L1. Runs of a row begin and end anywhere: one of 16 pixels touches 2.9 sectors of 32 bytes for
// its 2, whose other halves the neighbour finds in L2. Instructions (nvcc 13, sm_90): 200 for 16
// values of a lane, all asked for before the first is added; most are addresses. That is a third of
// the time that an H100's memory takes.
#include <algorithm>

#include "superpixel_sums.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kBlocks = 2;  ///< of a multiprocessor, at least: registers for loads under way

template <class T>
__device__ __forceinline__ void write_pooled(const SumParameters<T>& p, const ImageLists& image,
                                             const Share& share, T (&sums)[kTogether]) {
  if (p.mean) divide(share.last - share.first, sums);
  T* to = p.z + (image.item * p.channels + share.channel) * image.num + share.superpixel;
#pragma unroll
  for (int k = 0; k < kTogether; ++k) {
    if (lane_index() == k && k < share.channels) to[k * image.num] = sums[k];
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    pool_kernel(const __grid_constant__ SumParameters<T> p) {
  const ImageLists image(p.lists, blockIdx.y);
  each_share(p.lists, image, p.channels, [&](const Share& share) {
    T sums[kTogether];
    sum_piece(p, image, share, false, sums);
    if (share.whole()) {
      write_pooled(p, image, share, sums);
    } else {
      keep_partial(p, image, share, sums);
    }
  });
}

/// Superpixels of several pieces; their first ones do it.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    pool_rest_kernel(const __grid_constant__ SumParameters<T> p) {
  const ImageLists image(p.lists, blockIdx.y);
  each_share(p.lists, image, p.channels, [&](const Share& share) {
    if (share.whole() || share.from != share.first) return;
    T sums[kTogether];
    add_partials(p, image, share, sums);
    write_pooled(p, image, share, sums);
  });
}

/// A thread per pixel, for all channels.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    unpool_kernel(const __grid_constant__ SuperpixelLists lists, int64_t channels, const T* z,
                  bool divides, T* out) {
  const int64_t item = blockIdx.y, step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t p = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; p < lists.pixels;
       p += step) {
    const int32_t s = superpixel_at(lists, item * lists.pixels + p, lists.num);
    const bool inside = s >= 0;
    const T* from = z + item * channels * lists.num + (inside ? s : 0);
    const T count =
        inside && divides ? static_cast<T>(lists.cells[item * lists.most_cells + s]) : T(1);
    T* to = out + item * channels * lists.pixels + p;
#pragma unroll 4
    for (int64_t c = 0; c < channels; ++c) {
      const T value = inside ? __ldg(from + c * lists.num) : T(0);
      to[c * lists.pixels] = divides ? value / count : value;
    }
  }
}

}  // namespace

namespace kernels {

template <class T>
int superpixel_pool(const SuperpixelMap& map, int64_t channels, const T* x, SuperpixelReduce reduce,
                    T* z, int64_t* winners, void* scratch, Stream stream) {
  const SuperpixelScratch at(map, channels, sizeof(T), true);
  const SuperpixelLists lists = superpixel_lists(map, at, nullptr, false, scratch);
  if (const int code = build_lists(lists, map.batch, at, Pieces::Superpixels, scratch, stream);
      code != 0)
    return code;
  if (reduce == SuperpixelReduce::Max) {
    return superpixel_maximum(lists, map.batch, channels, x, z, winners,
                              partials_in<int32_t>(at, scratch), stream);
  }
  SumParameters<T> p{};
  p.lists = lists;
  p.channels = channels;
  p.x = x;
  p.z = z;
  p.partials = partials_in<T>(at, scratch);
  p.mean = reduce == SuperpixelReduce::Mean;
  const auto queue = static_cast<cudaStream_t>(stream);
  MRF_LAUNCH(pool_kernel<T>, share_grid(p, map.batch, kWarps), dim3(kThreads), 0, queue, p);
  if (lists.pixels > kPiecePixels)
    MRF_LAUNCH(pool_rest_kernel<T>, share_grid(p, map.batch, kWarps), dim3(kThreads), 0, queue, p);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int superpixel_unpool(const SuperpixelMap& map, int64_t channels, const T* z, bool divide, T* out,
                      void* scratch, Stream stream) {
  SuperpixelLists lists{};
  lists.ids = map.ids;
  lists.wide = map.type == IdType::Int64;
  lists.pixels = map.height * map.width;
  lists.num = map.num;
  lists.chunk = lists.pixels;
  lists.cells = static_cast<int32_t*>(scratch);
  lists.most_cells = map.num + 1;
  if (divide) {
    if (const int code = clear(scratch, superpixel_unpool_bytes(map, true), stream); code != 0)
      return code;
    if (const int code = count_pixels(lists, map.batch, stream); code != 0) return code;
  }
  const int64_t blocks = std::min<int64_t>((lists.pixels + kThreads - 1) / kThreads, 1 << 16);
  MRF_LAUNCH(unpool_kernel<T>,
             dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(map.batch)), dim3(kThreads),
             0, static_cast<cudaStream_t>(stream), lists, channels, z, divide, out);
  return static_cast<int>(cudaGetLastError());
}

#define MRF_INSTANTIATE(T)                                                                       \
  template int superpixel_pool<T>(const SuperpixelMap&, int64_t, const T*, SuperpixelReduce, T*, \
                                  int64_t*, void*, Stream);                                      \
  template int superpixel_unpool<T>(const SuperpixelMap&, int64_t, const T*, bool, T*, void*,    \
                                    Stream)
MRF_INSTANTIATE(float);
MRF_INSTANTIATE(double);
#undef MRF_INSTANTIATE

}  // namespace kernels
}  // namespace mrfcore::cuda
