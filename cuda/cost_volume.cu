// SPDX-License-Identifier: Apache-2.0
// Cost volumes, the expressions of cpp/cpu/cost_volume.cpp. A block has a piece of a row and up to
// 256 labels: features of its columns and of all their partners go to shared memory, a warp takes a
// column at a time, its features in registers, lanes on neighbouring labels.
//
// Bytes per cell: 4 are written (1 for byte volumes, 8 read and written if accumulating); images
// come once per block: 0.3 bytes a cell at 128 labels. An H100 writes 4 bytes in 0.30 cycles of a
// multiprocessor. Birchfield-Tomasi on RGB is the costliest: 9 words of shared memory (0.28 cycles)
// and about 42 instructions (0.33 cycles) a cell, so just beyond the bound of memory; the others
// need a third of it or less. Census: two population counts of 1/16 cycle.
//
// uint8 is compared in float: all values are whole and below 2^24, so exact. Pixels are finite,
// where fminf and fmaxf are the CPU's comparisons, save for the sign of zero, which the sum over
// channels (0 + ...) loses.
#include "stereo_kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kColumns = 32;  ///< of the left image in a block
constexpr int kLabels = 256;  ///< most labels in a block

struct VolumeParameters {
  cpu::CostVolumeArgs args;
  const uint64_t* codes;  ///< of census
  uint8_t* bytes;
  int64_t stride;  ///< elements between rows of labels
  int64_t column_tiles, label_tiles;
};

/// Both images of one item, and what of a row to compare.
struct Row {
  int64_t item, y, width;
  const void* image;  ///< all items
  PixelType type;
  int channels;

  __device__ __forceinline__ float at(const VolumeParameters& p, int64_t x, int c) const {
    const int64_t i = ((item * p.args.height + y) * width + x) * channels + c;
    if (type == PixelType::UInt8) return static_cast<float>(__ldg(bytes() + i));
    return __ldg(static_cast<const float*>(image) + i);
  }
  /// Floor for whole numbers, exact for floats.
  __device__ __forceinline__ float midpoint(float a, float b) const {
    const float half = (a + b) * 0.5F;
    return type == PixelType::UInt8 ? floorf(half) : half;
  }

 private:
  __device__ __forceinline__ const uint8_t* bytes() const {
    return static_cast<const uint8_t*>(image);
  }
};

// ---- Costs. `fill` writes a column's features to shared memory, plane after plane; `cell`
// compares two pixels' features.

template <int Channels, bool Square>
struct Difference {
  using Feature = float;
  static constexpr int kPlanes = Channels;

  static __device__ __forceinline__ void fill(const VolumeParameters& p, const Row& row, int64_t x,
                                              Feature* to, int plane) {
    for (int c = 0; c < Channels; ++c) to[c * plane] = row.at(p, x, c);
  }
  static __device__ __forceinline__ float cell(const Feature* left, const Feature* right) {
    float sum = 0.0F;
#pragma unroll
    for (int c = 0; c < Channels; ++c) {
      const float d = fabsf(left[c] - right[c]);
      sum = sum + (Square ? d * d : d);
    }
    return sum;
  }
};

/// Planes of a channel: I, I- and I+, the smallest and greatest of a pixel and its midpoints with
/// either neighbour.
template <int Channels, bool Square>
struct BirchfieldTomasi {
  using Feature = float;
  static constexpr int kPlanes = 3 * Channels;

  static __device__ __forceinline__ void fill(const VolumeParameters& p, const Row& row, int64_t x,
                                              Feature* to, int plane) {
    for (int c = 0; c < Channels; ++c, to += 3 * plane) {
      const float centre = row.at(p, x, c);
      const float before = x > 0 ? row.midpoint(centre, row.at(p, x - 1, c)) : centre;
      const float after = x + 1 < row.width ? row.midpoint(centre, row.at(p, x + 1, c)) : centre;
      to[0] = centre;
      to[plane] = fminf(centre, fminf(before, after));
      to[2 * plane] = fmaxf(centre, fmaxf(before, after));
    }
  }
  static __device__ __forceinline__ float cell(const Feature* left, const Feature* right) {
    float sum = 0.0F;
#pragma unroll
    for (int c = 0; c < Channels; ++c, left += 3, right += 3) {
      const float a = fmaxf(left[0] - right[2], right[1] - left[0]);
      const float b = fmaxf(right[0] - left[2], left[1] - right[0]);
      const float d = fmaxf(0.0F, fminf(a, b));
      sum = sum + (Square ? d * d : d);
    }
    return sum;
  }
};

/// Planes: the low and the high word of the code.
struct Census {
  using Feature = unsigned;
  static constexpr int kPlanes = 2;

  static __device__ __forceinline__ void fill(const VolumeParameters& p, const Row& row, int64_t x,
                                              Feature* to, int plane) {
    const uint64_t code =
        static_cast<const uint64_t*>(row.image)[(row.item * p.args.height + row.y) * row.width + x];
    to[0] = static_cast<unsigned>(code);
    to[plane] = static_cast<unsigned>(code >> 32);
  }
  static __device__ __forceinline__ float cell(const Feature* left, const Feature* right) {
    return static_cast<float>(__popc(left[0] ^ right[0]) + __popc(left[1] ^ right[1]));
  }
};

// ---- Where costs go

struct FloatVolume {
  static __device__ __forceinline__ void put(const VolumeParameters& p, int64_t at, float cost) {
    const float scaled = p.args.scale * cost;
    p.args.out[at] = p.args.accumulate ? p.args.out[at] + scaled : scaled;
  }
};
struct ByteVolume {
  static __device__ __forceinline__ void put(const VolumeParameters& p, int64_t at, float cost) {
    p.bytes[at] = static_cast<uint8_t>(cost);
  }
};

/// blockIdx: (row, piece of the row, labels), item. Partners of the block's columns are x - d:
/// `window` of them, from `first` on.
template <class Cost, class Volume>
__global__ void __launch_bounds__(kThreads)
    volume_kernel(const __grid_constant__ VolumeParameters p) {
  using Feature = typename Cost::Feature;
  constexpr int kPlanes = Cost::kPlanes;
  MRF_SHARED(Feature, left);
  const cpu::CostVolumeArgs& a = p.args;
  const int64_t l0 = blockIdx.x % p.label_tiles * kLabels, tile = blockIdx.x / p.label_tiles;
  const int64_t x0 = tile % p.column_tiles * kColumns, y = tile / p.column_tiles;
  const int labels = static_cast<int>(min(a.num_disparities - l0, int64_t{kLabels}));
  const int columns = static_cast<int>(min(a.width - x0, int64_t{kColumns}));
  const int window = columns + labels - 1, thread = static_cast<int>(threadIdx.x);
  const int64_t first = x0 - a.min_disparity - (l0 + labels - 1);
  Feature* right = left + kPlanes * kColumns;
  Row row{blockIdx.y, y, a.width, a.left, a.type, static_cast<int>(a.channels)};
  for (int i = thread; i < columns; i += kThreads) Cost::fill(p, row, x0 + i, left + i, kColumns);
  row.image = a.right;
  for (int i = thread; i < window; i += kThreads) {
    const int64_t x = first + i;
    if (x >= 0 && x < a.width) Cost::fill(p, row, x, right + i, window);
  }
  __syncthreads();

  for (int i = thread / kWarp; i < columns; i += kWarps) {
    Feature here[kPlanes];
#pragma unroll
    for (int k = 0; k < kPlanes; ++k) here[k] = left[k * kColumns + i];
    const int64_t at = ((row.item * a.height + y) * a.width + x0 + i) * p.stride + l0;
    for (int l = lane_index(); l < labels; l += kWarp) {
      const int partner = i + labels - 1 - l;
      float cost = a.border;
      if (first + partner >= 0 && first + partner < a.width) {
        Feature there[kPlanes];
#pragma unroll
        for (int k = 0; k < kPlanes; ++k) there[k] = right[k * window + partner];
        cost = lower(a.truncation, Cost::cell(here, there));
      }
      Volume::put(p, at + l, cost);
    }
  }
}

template <class Cost, class Volume>
int launch(const VolumeParameters& p, int64_t items, cudaStream_t stream) {
  const int64_t labels = p.args.num_disparities < kLabels ? p.args.num_disparities : kLabels;
  const int64_t words = Cost::kPlanes * (kColumns + kColumns + labels - 1);
  const int64_t blocks = p.args.height * p.column_tiles * p.label_tiles;
  if (blocks > INT32_MAX) return static_cast<int>(cudaErrorInvalidValue);
  const auto kernel = volume_kernel<Cost, Volume>;
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(items));
  MRF_LAUNCH(kernel, grid, dim3(kThreads),
             static_cast<size_t>(words) * sizeof(typename Cost::Feature), stream, p);
  return static_cast<int>(cudaGetLastError());
}

template <template <int, bool> class Cost, bool Square, class Volume>
int launch_channels(const VolumeParameters& p, int64_t items, cudaStream_t stream) {
  return p.args.channels == 1 ? launch<Cost<1, Square>, Volume>(p, items, stream)
                              : launch<Cost<3, Square>, Volume>(p, items, stream);
}

template <class Volume>
int launch_cost(VolumeParameters& p, int64_t items, uint64_t* codes, cudaStream_t stream) {
  p.column_tiles = (p.args.width + kColumns - 1) / kColumns;
  p.label_tiles = (p.args.num_disparities + kLabels - 1) / kLabels;
  switch (p.args.cost) {
    case StereoCost::BirchfieldTomasi:
      return launch_channels<BirchfieldTomasi, false, Volume>(p, items, stream);
    case StereoCost::BirchfieldTomasiSquared:
      return launch_channels<BirchfieldTomasi, true, Volume>(p, items, stream);
    case StereoCost::Absolute:
      return launch_channels<Difference, false, Volume>(p, items, stream);
    case StereoCost::Squared:
      return launch_channels<Difference, true, Volume>(p, items, stream);
    case StereoCost::Census:
      break;
  }
  const int failed = census_codes(p.args, items, codes, stream);
  if (failed != 0) return failed;
  p.args.left = codes;
  p.args.right = codes + items * p.args.height * p.args.width;
  return launch<Census, Volume>(p, items, stream);
}

}  // namespace

int cost_volume(const cpu::CostVolumeArgs& args, int64_t items, uint64_t* codes, Stream stream) {
  VolumeParameters p{args, codes, nullptr, args.num_disparities, 0, 0};
  return launch_cost<FloatVolume>(p, items, codes, static_cast<cudaStream_t>(stream));
}

int byte_cost_volume(const cpu::CostVolumeArgs& args, int64_t items, uint64_t* codes, uint8_t* out,
                     int64_t stride, Stream stream) {
  const bool whole = args.type == PixelType::UInt8 || args.cost == StereoCost::Census;
  const bool fits = args.border >= 0.0F && args.border <= 255.0F;
  if (!whole || !fits || stride < args.num_disparities || args.scale != 1.0F || args.accumulate)
    return static_cast<int>(cudaErrorInvalidValue);
  VolumeParameters p{args, codes, out, stride, 0, 0};
  if (!(p.args.truncation < 255.0F)) p.args.truncation = 255.0F;
  return launch_cost<ByteVolume>(p, items, codes, static_cast<cudaStream_t>(stream));
}

}  // namespace mrfcore::cuda
