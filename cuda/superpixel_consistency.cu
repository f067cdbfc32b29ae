// SPDX-License-Identifier: Apache-2.0
// Logit consistency (Eq 4.13-4.14) and its adjoint: a warp sums its piece of a superpixel and
// writes the mean at once to the pixels that it has just read. x is read once, out written once,
// and nothing is kept between; only superpixels beyond 2048 pixels wait for their other pieces, in
// a second launch. Bytes per value, T = 4: 8, and 2 of the list from L2; before that the sort's.
#include "superpixel_sums.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kBlocks = 2;  ///< of a multiprocessor, at least: registers for loads under way

/// Writes what f(k, pixel, valid) says to all pixels of a piece.
template <class T, class F>
__device__ __forceinline__ void write_piece(const SumParameters<T>& p, const ImageLists& image,
                                            const Share& share, const F& f) {
  T* to = p.results(image, share);
  for (int32_t place = share.from + lane_index(); place < share.to; place += kWarp) {
    const int32_t entry = __ldg(image.order + place);
    const int32_t pixel = entry < 0 ? ~entry : entry;
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      if (k < share.channels) to[k * int64_t{image.pixels} + pixel] = f(k, pixel, entry >= 0);
    }
  }
}

template <class T>
__device__ __forceinline__ void write_means(const SumParameters<T>& p, const ImageLists& image,
                                            const Share& share, T (&sums)[kTogether]) {
  divide(image.size(share.superpixel), sums);
  write_piece(p, image, share,
              [&](int k, int32_t, bool valid) { return p.adjoint && !valid ? T(0) : sums[k]; });
}

/// Without a pixel that counts, or without a superpixel.
template <class T>
__device__ __forceinline__ void write_empty(const SumParameters<T>& p, const ImageLists& image,
                                            const Share& share) {
  const T* from = p.planes(image, share);
  const bool keep = p.keep && share.superpixel < image.num;
  write_piece(p, image, share, [&](int k, int32_t pixel, bool) {
    return keep ? __ldg(from + k * int64_t{image.pixels} + pixel) : T(0);
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    consistency_kernel(const __grid_constant__ SumParameters<T> p) {
  const ImageLists image(p.lists, blockIdx.y);
  each_share(p.lists, image, p.channels, [&](const Share& share) {
    if (share.superpixel == image.num || image.size(share.superpixel) == 0) {
      write_empty(p, image, share);
      return;
    }
    T sums[kTogether];
    sum_piece(p, image, share, !p.adjoint, sums);
    if (share.whole()) {
      write_means(p, image, share, sums);
    } else {
      keep_partial(p, image, share, sums);
    }
  });
}

/// Every piece of a superpixel of several adds them all up: they have the same bits.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    consistency_rest_kernel(const __grid_constant__ SumParameters<T> p) {
  const ImageLists image(p.lists, blockIdx.y);
  each_share(p.lists, image, p.channels, [&](const Share& share) {
    if (share.whole() || share.superpixel == image.num || image.size(share.superpixel) == 0) return;
    T sums[kTogether];
    add_partials(p, image, share, sums);
    write_means(p, image, share, sums);
  });
}

}  // namespace

namespace kernels {

template <class T>
int superpixel_consistency(const SuperpixelMap& map, int64_t channels, const T* x,
                           const ConsistencyOptions& options, T* out, void* scratch,
                           Stream stream) {
  const SuperpixelScratch at(map, channels, sizeof(T), false);
  SumParameters<T> p{};
  p.lists = superpixel_lists(map, at, options.valid, true, scratch);
  p.channels = channels;
  p.x = x;
  p.out = out;
  p.partials = partials_in<T>(at, scratch);
  p.keep = options.empty == NoValidPixel::Keep;
  p.adjoint = options.adjoint;
  if (const int code = build_lists(p.lists, map.batch, at, Pieces::Pixels, scratch, stream);
      code != 0)
    return code;
  const auto queue = static_cast<cudaStream_t>(stream);
  MRF_LAUNCH(consistency_kernel<T>, share_grid(p, map.batch, kWarps), dim3(kThreads), 0, queue, p);
  if (p.lists.pixels > kPiecePixels)
    MRF_LAUNCH(consistency_rest_kernel<T>, share_grid(p, map.batch, kWarps), dim3(kThreads), 0,
               queue, p);
  return static_cast<int>(cudaGetLastError());
}

#define MRF_INSTANTIATE(T)                                                        \
  template int superpixel_consistency<T>(const SuperpixelMap&, int64_t, const T*, \
                                         const ConsistencyOptions&, T*, void*, Stream)
MRF_INSTANTIATE(float);
MRF_INSTANTIATE(double);
#undef MRF_INSTANTIATE

}  // namespace kernels
}  // namespace mrfcore::cuda
