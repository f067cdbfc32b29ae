// SPDX-License-Identifier: Apache-2.0
// Census codes, the bits of cpp/cpu/cost_volume.cpp: a block's tile and its surroundings as grey
// values in shared memory, one thread per pixel. Bytes per pixel: its 1 to 12 of the image, 8 of
// the code; operations: 3 per bit, up to 64 bits. Microseconds, beside the volume.
#include "stereo_kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kTileWidth = 32, kTileHeight = 8, kThreads = kTileWidth * kTileHeight;

struct CensusParameters {
  const void* images[2];
  PixelType type;
  int64_t height, width;
  int channels, window_height, window_width;
  int64_t column_tiles;
  uint64_t* codes;

  __host__ __device__ int tile_columns() const { return kTileWidth + window_width - 1; }
  __host__ __device__ int tile_rows() const { return kTileHeight + window_height - 1; }
};

/// Luma of RGB as cpp/ops/cost_volume.cpp computes it; bytes fit a float exactly.
__device__ float grey(const CensusParameters& p, const void* image, int64_t pixel) {
  const int64_t at = pixel * p.channels;
  if (p.type == PixelType::UInt8) {
    const auto* bytes = static_cast<const uint8_t*>(image) + at;
    if (p.channels == 1) return static_cast<float>(__ldg(bytes));
    const int sum = 299 * __ldg(bytes) + 587 * __ldg(bytes + 1) + 114 * __ldg(bytes + 2);
    return static_cast<float>((sum + 500) / 1000);
  }
  const auto* values = static_cast<const float*>(image) + at;
  if (p.channels == 1) return __ldg(values);
  return 0.299F * __ldg(values) + 0.587F * __ldg(values + 1) + 0.114F * __ldg(values + 2);
}

__device__ __forceinline__ int64_t clamped(int64_t at, int64_t size) {
  return at < 0 ? 0 : (at < size ? at : size - 1);
}

__device__ uint64_t code_of(const CensusParameters& p, const float* tile, int row, int column) {
  const int columns = p.tile_columns(), middle_y = p.window_height / 2,
            middle_x = p.window_width / 2;
  const float centre = tile[(row + middle_y) * columns + column + middle_x];
  uint64_t code = 0;
  int bit = 0;
  for (int dy = 0; dy < p.window_height; ++dy) {
    const float* other = tile + (row + dy) * columns + column;
    for (int dx = 0; dx < p.window_width; ++dx) {
      if (dy == middle_y && dx == middle_x) continue;
      code |= static_cast<uint64_t>(other[dx] < centre) << bit++;
    }
  }
  return code;
}

/// blockIdx: tile, item, left or right.
__global__ void __launch_bounds__(kThreads)
    census_kernel(const __grid_constant__ CensusParameters p) {
  MRF_SHARED(float, tile);
  const int64_t y0 = blockIdx.x / p.column_tiles * kTileHeight,
                x0 = blockIdx.x % p.column_tiles * kTileWidth;
  const int64_t pixels = p.height * p.width, before = blockIdx.y * pixels;
  const void* image = p.images[blockIdx.z];
  const int columns = p.tile_columns(), size = columns * p.tile_rows();
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < size; i += kThreads) {
    const int64_t y = clamped(y0 + i / columns - p.window_height / 2, p.height),
                  x = clamped(x0 + i % columns - p.window_width / 2, p.width);
    tile[i] = grey(p, image, before + y * p.width + x);
  }
  __syncthreads();
  const int row = thread / kTileWidth, column = thread % kTileWidth;
  if (y0 + row >= p.height || x0 + column >= p.width) return;
  const int64_t side = static_cast<int64_t>(blockIdx.z) * gridDim.y * pixels;
  p.codes[side + before + (y0 + row) * p.width + x0 + column] = code_of(p, tile, row, column);
}

}  // namespace

int census_codes(const cpu::CostVolumeArgs& args, int64_t items, uint64_t* codes, Stream stream) {
  const int64_t h = args.window_height, w = args.window_width;
  if (h < 1 || w < 1 || h % 2 == 0 || w % 2 == 0 || h * w > 65 || codes == nullptr)
    return static_cast<int>(cudaErrorInvalidValue);
  CensusParameters p{{args.left, args.right},
                     args.type,
                     args.height,
                     args.width,
                     static_cast<int>(args.channels),
                     static_cast<int>(h),
                     static_cast<int>(w),
                     (args.width + kTileWidth - 1) / kTileWidth,
                     codes};
  const int64_t tiles = p.column_tiles * ((args.height + kTileHeight - 1) / kTileHeight);
  if (tiles > INT32_MAX) return static_cast<int>(cudaErrorInvalidValue);
  const size_t shared = static_cast<size_t>(p.tile_columns() * p.tile_rows()) * sizeof(float);
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(items), 2);
  MRF_LAUNCH(census_kernel, grid, dim3(kThreads), shared, static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace mrfcore::cuda
