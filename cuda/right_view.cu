// SPDX-License-Identifier: Apache-2.0
// The right view of a left view's costs: cell (y, x, l) of the left is cell (y, x - d, l) of the
// right, d = min_disparity + l. A warp has 32 neighbouring pixels of the right view and goes
// through the left columns they may match: at one column its lanes meet 32 neighbouring labels, so
// that reads are lines, and since labels ascend with columns, a strict comparison keeps the lowest.
//
// Bytes per cell: 4 are read, once, in windows that begin anywhere (a quarter more than their
// size, for which a block's next warp finds its part in L1); the volume writes 4 more, by way of
// shared memory.
#include "stereo_kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarpsPerBlock = 8;
constexpr int kLabels = 64;          ///< of a block of right_volume_kernel
constexpr int kPitch = kLabels + 2;  ///< odd steps down its diagonals: no two lanes share a bank

struct RightViewParameters {
  cpu::RightViewArgs args;
  int64_t column_tiles, label_tiles;
  int32_t* labels;
  float* minima;
  float border;
  float* out;
};

__global__ void __launch_bounds__(kWarpsPerBlock* kWarp)
    right_minimum_kernel(const __grid_constant__ RightViewParameters p) {
  const cpu::RightViewArgs& a = p.args;
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarp;
  if (tile >= a.height * p.column_tiles) return;
  const int64_t row = blockIdx.y * a.height + tile / p.column_tiles;
  const int lane = lane_index();
  const int64_t x0 = tile % p.column_tiles * kWarp, x = x0 + lane;
  // Labels of this lane's pixel that stay inside the left image.
  const int64_t begin = max(int64_t{0}, -(x + a.min_disparity));
  const int64_t end = min(a.num_disparities, a.width - x - a.min_disparity);
  const float* costs = a.costs + row * a.width * a.num_disparities;
  int32_t label = -1;
  float minimum = cpu::kInfinity<float>;
#pragma unroll 8
  for (int64_t l = -lane; l < a.num_disparities; ++l) {
    const bool inside = l >= begin && l < end;
    const float cost =
        inside ? __ldg(costs + (x + a.min_disparity + l) * a.num_disparities + l) : 0.0F;
    const bool better = inside && (label < 0 || cost < minimum);
    minimum = better ? cost : minimum;
    label = better ? static_cast<int32_t>(l) : label;
  }
  if (x >= a.width) return;
  p.labels[row * a.width + x] = label;
  if (p.minima != nullptr) p.minima[row * a.width + x] = minimum;
}

/// blockIdx: (row, 32 pixels, kLabels labels), item.
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp)
    right_volume_kernel(const __grid_constant__ RightViewParameters p) {
  MRF_SHARED(float, shared);
  const cpu::RightViewArgs& a = p.args;
  const int64_t l0 = blockIdx.x % p.label_tiles * kLabels, tile = blockIdx.x / p.label_tiles;
  const int64_t x0 = tile % p.column_tiles * kWarp;
  const int64_t row = blockIdx.y * a.height + tile / p.column_tiles;
  const int labels = static_cast<int>(min(a.num_disparities - l0, int64_t{kLabels}));
  const int lane = lane_index(), warp = static_cast<int>(threadIdx.x) / kWarp;
  const float* costs = a.costs + row * a.width * a.num_disparities;
  for (int i = warp; i < labels + kWarp - 1; i += kWarpsPerBlock) {
    const int l = i - lane;
    if (l < 0 || l >= labels) continue;
    const int64_t left = x0 + a.min_disparity + l0 + i;
    shared[lane * kPitch + l] =
        left >= 0 && left < a.width ? __ldg(costs + left * a.num_disparities + l0 + l) : p.border;
  }
  __syncthreads();
  for (int i = warp; i < kWarp && x0 + i < a.width; i += kWarpsPerBlock) {
    float* to = p.out + (row * a.width + x0 + i) * a.num_disparities + l0;
    for (int l = lane; l < labels; l += kWarp) to[l] = shared[i * kPitch + l];
  }
}

RightViewParameters parameters(const cpu::RightViewArgs& args) {
  return {args,
          (args.width + kWarp - 1) / kWarp,
          (args.num_disparities + kLabels - 1) / kLabels,
          nullptr,
          nullptr,
          0.0F,
          nullptr};
}

}  // namespace

int right_view_minimum(const cpu::RightViewArgs& args, int64_t items, int32_t* labels,
                       float* minima, Stream stream) {
  RightViewParameters p = parameters(args);
  p.labels = labels;
  p.minima = minima;
  const int64_t blocks = (args.height * p.column_tiles + kWarpsPerBlock - 1) / kWarpsPerBlock;
  if (blocks > INT32_MAX) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(right_minimum_kernel,
             dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(items)),
             dim3(kWarpsPerBlock * kWarp), 0, static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

int right_view_volume(const cpu::RightViewArgs& args, int64_t items, float border, float* out,
                      Stream stream) {
  RightViewParameters p = parameters(args);
  p.border = border;
  p.out = out;
  const int64_t blocks = args.height * p.column_tiles * p.label_tiles;
  if (blocks > INT32_MAX) return static_cast<int>(cudaErrorInvalidValue);
  const size_t shared = sizeof(float) * kWarp * kPitch;
  MRF_LAUNCH(right_volume_kernel, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(items)),
             dim3(kWarpsPerBlock * kWarp), shared, static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace mrfcore::cuda
