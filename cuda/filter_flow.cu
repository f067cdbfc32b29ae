// SPDX-License-Identifier: Apache-2.0
// Filter flow and its transpose: a block has 32 x 8 pixels of an item and up to 24 channels.
//
// Bound: the filters, k^2 numbers a pixel, each read once (rows of 32 neighbours, asked for a block
// of taps ahead). A block of at most 16 taps of a filter row goes to shared memory, as weights:
// there a warp has a row of pixels, with its softmax and its flow. Then each warp takes kRows rows
// of pixels and kChannels channels: at step s its row i is at tap row s - i, so that all its rows
// look at one row of the image, and a word of shared memory feeds kRows or kChannels products.
// The image is read (1 + (k - 1) / 32) (1 + (k - 1) / 8) times: 3 for k = 11, from L2.
//
// Bytes a pixel: filters k^2 (4, or 2 in half types), image and out 8 C, flow 8, softmax 8: 524
// for k = 11, C = 3. Instructions: a product and a sum for each tap and channel (no fused ones:
// the bits of the CPU), 1/kRows + 1/kChannels reads of shared memory, and some 25 for each
// exponential, once a tap. With C = 3 bytes limit, with C = 21 both nearly do.
//
// More channels than 24 (8 of doubles) have blocks of their own, which read the filters again, from
// L2 where they run side by side.
// Sums go over taps in order, as those of cpp/cpu/filter_flow.cpp: the same bits. A softmax is
// rounded otherwise: its highest filter is found row by row, on the CPU several rows at a time.
#include "flow_stage.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = kTilePixels;

/// kRows rows of pixels, kChannels channels. kAll: all rows are within their filters.
template <bool kAll, class T, int kRows, int kChannels>
__device__ __forceinline__ void accumulate(T (&sums)[kRows][kChannels], const T* taps,
                                           const T* pixels, int channel, int step, int side,
                                           int count) {
  for (int j = 0; j < count; ++j, taps += kTilePixels, ++pixels) {
    T weight[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) weight[i] = taps[i * kWarp];
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      const T pixel = pixels[c * channel];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        if (kAll || (step >= i && step - i < side)) sums[i][c] += weight[i] * pixel;
      }
    }
  }
}

/// by: of the sums' first row.
template <class T, int kRows, int kChannels>
__device__ __forceinline__ void scale_sums(T (&sums)[kRows][kChannels], const T* by) {
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) sums[i][c] *= by[i * kWarp];
  }
}

/// A block's tile, and what its threads share.
template <class T, int kRows, int kChannels, bool kTranspose>
struct FlowTile {
  static constexpr int kPlanes = kRows * kChannels;  ///< of the patch; one more for peaks

  const FlowParameters<T>& p;
  int side, columns, first_channel, channels;
  int64_t item, plane;
  Place place;
  T *taps, *factors;
  FlowPatch<T> patch;

  __device__ __forceinline__ FlowTile(const FlowParameters<T>& parameters, T* shared)
      : p(parameters),
        side(p.size.side),
        columns(kWarp + side - 1),
        first_channel(static_cast<int>(blockIdx.x) % p.parts * kPlanes),
        channels(min(kPlanes, p.size.channels - first_channel)),
        item(p.tiling.item(index())),
        plane(p.size.plane()),
        place(p.tiling.place(index(), kTranspose)),
        taps(shared),
        factors(taps + p.taps * kTilePixels),
        patch{factors + kTilePixels, columns} {}

  __device__ __forceinline__ int index() const { return static_cast<int>(blockIdx.x) / p.parts; }

  /// Weights of the transposed operator are made from the sources' softmax.
  __device__ __forceinline__ bool scaled() const { return kTranspose && p.softmax; }

  /// Rows of the image, and of the sources' peaks.
  __device__ __forceinline__ void fill(int row, int count) const {
    const FlowSize& q = p.size;
    const FlowPadding padding = kTranspose ? FlowPadding::Zeros : p.padding;
    const T* image = p.image + (item * q.channels + first_channel) * plane;
    const T *peak = p.peak + item * plane, *scale = p.scale + item * plane;
    const bool with_scale = scaled();
    const int planes = with_scale ? channels + 1 : channels;
    patch.fill(place, before(side), row, count, planes, columns, [&](int channel, int y, int x) {
      const int from_y = source_of(y, q.height, padding);
      const int from_x = source_of(x, q.width, padding);
      if (from_y < 0 || from_x < 0) return T(0);
      const int64_t at = static_cast<int64_t>(from_y) * q.width + from_x;
      if (channel == channels) return peak[at];
      const T pixel = image[channel * plane + at];
      return with_scale ? pixel * scale[at] : pixel;
    });
  }
  /// Peaks as tap row u of the warp's pixels meets them.
  __device__ __forceinline__ const T* peaks(int row, int u) const {
    return patch.row(channels, row + u);
  }

  __device__ __forceinline__ bool inside(int row) const {
    return p.tiling.contains(place.row(row), place.column(lane_index()));
  }
  /// Of a pixel within a plane of the results.
  __device__ __forceinline__ int64_t pixel(int row) const {
    const int64_t y = place.row(row) - p.tiling.top;
    return y * p.tiling.columns + place.column(lane_index()) - p.tiling.left;
  }

  /// What a row's own warp knows of it; leaves what its sums are to be multiplied by.
  template <class Stage>
  __device__ __forceinline__ void finish(const Stage& stage) const {
    const int row = Stage::row();
    const T scale = p.softmax ? T(1) / stage.total : T(1);
    __syncthreads();
    factors[threadIdx.x] = scale;
    __syncthreads();
    if (first_channel != 0 || !inside(row)) return;
    const int64_t at = pixel(row);
    if (p.softmax) {
      p.peak[item * plane + at] = stage.peak < -kLargest<T> ? T(0) : stage.peak;
      p.scale[item * plane + at] = scale;
    }
    if (p.flow == nullptr) return;
    p.flow[2 * item * plane + at] = stage.flow_x * scale;
    p.flow[(2 * item + 1) * plane + at] = stage.flow_y * scale;
  }

  __device__ __forceinline__ void write(const T (&sums)[kRows][kChannels], int row,
                                        int channel) const {
    const int64_t out_plane = p.tiling.plane();
    T* out = p.out + (item * p.size.channels + first_channel + channel) * out_plane;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      if (!inside(row + i)) continue;
      const int64_t at = pixel(row + i);
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        if (channel + c < channels) out[c * out_plane + at] = sums[i][c];
      }
    }
  }
};

template <class T, class F, int kRows, int kChannels, bool kTranspose>
__global__ void __launch_bounds__(kThreads)
    flow_kernel(const __grid_constant__ FlowParameters<T> p) {
  MRF_SHARED(T, shared);
  const FlowTile<T, kRows, kChannels, kTranspose> tile(p, shared);
  const int side = tile.side, lane = lane_index();
  // As who brings taps: a row. As who sums: rows and channels.
  Stage<T, F, kTranspose> stage{p, tile.place, tile.item};
  const int row = stage.row(), skew = row % kRows;
  const int row0 = row - skew, channel0 = skew * kChannels;
  T sums[kRows][kChannels] = {};

  stage.ask(-skew, 0, p.taps);
  tile.fill(0, kTileRows);
  for (int step = 0; step < side + kRows - 1; ++step) {
    const int u = step - skew;
    const bool within = u >= 0 && u < side;
    for (int v = 0; v < side; v += p.taps) {
      const int count = min(p.taps, side - v), rest = side - v - count;
      __syncthreads();  // what is in shared memory has been read
      if (v == 0 && step > 0 && step < side) tile.fill(step + kTileRows - 1, 1);
      if (tile.scaled()) __syncthreads();
      tile.factors[threadIdx.x] =
          within ? stage.put(tile.taps, tile.peaks(row, u), u, v, count) : T(1);
      __syncthreads();
      stage.ask(rest > 0 ? u : u + 1, rest > 0 ? v + count : 0,
                rest > 0 ? min(p.taps, rest) : p.taps);
      if (channel0 >= tile.channels) continue;
      if (p.softmax && !kTranspose) scale_sums(sums, tile.factors + row0 * kWarp + lane);
      const T* weights = tile.taps + row0 * kWarp + lane;
      const T* pixels = tile.patch.row(channel0, row0 + step) + lane + v;
      const int channel = kTileRows * tile.columns;
      if (step >= kRows - 1 && step < side) {
        accumulate<true>(sums, weights, pixels, channel, step, side, count);
      } else {
        accumulate<false>(sums, weights, pixels, channel, step, side, count);
      }
    }
  }
  if constexpr (!kTranspose) {
    tile.finish(stage);
    scale_sums(sums, tile.factors + row0 * kWarp + lane);
  }
  tile.write(sums, row0, channel0);
}

template <class T, class F, int kRows, int kChannels, bool kTranspose>
int launch(FlowParameters<T> p, int64_t items, cudaStream_t stream) {
  constexpr int kPlanes = kRows * kChannels;
  const int side = p.size.side, channels = p.size.channels;
  const int blocks = (side + kMostTaps - 1) / kMostTaps;  // of taps, equally large
  p.taps = (side + blocks - 1) / blocks;
  const int planes = channels == 0 ? 0 : kPlanes + (kTranspose && p.softmax);
  const int words = (p.taps + 1) * kTilePixels + planes * kTileRows * (kWarp + side - 1);
  const auto bytes = static_cast<size_t>(words) * sizeof(T);
  const int64_t tiles = p.tiling.blocks(items);
  p.parts = channels == 0 ? 1 : (channels - 1) / kPlanes + 1;
  if (tiles > INT32_MAX / p.parts) return static_cast<int>(cudaErrorInvalidValue);
  const auto kernel = flow_kernel<T, F, kRows, kChannels, kTranspose>;
  const int failed = allow_shared(kernel, bytes);
  if (failed != 0) return failed;
  const auto grid = static_cast<unsigned>(tiles * p.parts);
  MRF_LAUNCH(kernel, dim3(grid), dim3(kThreads), bytes, stream, p);
  return static_cast<int>(cudaGetLastError());
}

template <class T, class F, bool kTranspose>
int launch_channels(const FlowParameters<T>& p, int64_t items, cudaStream_t stream) {
  if (p.size.channels <= 4) return launch<T, F, 1, 4, kTranspose>(p, items, stream);
  if constexpr (sizeof(T) == 4) {
    if (p.size.channels > 8) return launch<T, F, 4, 6, kTranspose>(p, items, stream);
  }
  return launch<T, F, 4, 2, kTranspose>(p, items, stream);
}

template <bool kTranspose, class T>
int launch_type(const FilterFlowProblem& problem, FlowParameters<T> p, void* stream) {
  if (!fits(problem)) return static_cast<int>(cudaErrorInvalidValue);
  p.size = FlowSize::of(problem);
  p.softmax = problem.softmax;
  p.padding = problem.padding;
  p.filters = problem.filters;
  const auto queue = static_cast<cudaStream_t>(stream);
  return with_filters<T>(problem.type, [&]<class F>(F) {
    return launch_channels<T, F, kTranspose>(p, problem.batch, queue);
  });
}

}  // namespace

namespace kernels {

template <class T>
int filter_flow(const FilterFlowProblem& problem, const T* image, T* out, T* flow,
                SoftmaxStatistics<T> statistics, void* stream) {
  if (problem.batch == 0) return 0;
  FlowParameters<T> p{};
  p.tiling = Tiling::of(0, 0, problem.height, problem.width);
  p.image = image;
  p.out = out;
  p.flow = flow;
  p.peak = statistics.peak;
  p.scale = statistics.scale;
  return launch_type<false>(problem, p, stream);
}

template <class T>
int filter_flow_transpose(const FilterFlowProblem& problem, const T* image,
                          SoftmaxStatistics<const T> statistics, T* out, T* landing, void* stream) {
  if (problem.batch == 0 || problem.channels == 0) return 0;
  const bool margin = problem.padding != FlowPadding::Zeros;
  const int more = margin ? static_cast<int>(problem.side) - 1 : 0, reach = more / 2;
  FlowParameters<T> p{};
  p.tiling = Tiling::of(-reach, -reach, problem.height + more, problem.width + more);
  p.image = image;
  p.out = margin ? landing : out;
  // The other direction writes them, and has the same parameters.
  p.peak = const_cast<T*>(statistics.peak);
  p.scale = const_cast<T*>(statistics.scale);
  const int failed = launch_type<true>(problem, p, stream);
  return failed != 0 || !margin ? failed : fold_landing(problem, landing, out, stream);
}

#define MRFCORE_INSTANTIATE(T)                                                                  \
  template int filter_flow<T>(const FilterFlowProblem&, const T*, T*, T*, SoftmaxStatistics<T>, \
                              void*);                                                           \
  template int filter_flow_transpose<T>(const FilterFlowProblem&, const T*,                     \
                                        SoftmaxStatistics<const T>, T*, T*, void*);
MRFCORE_INSTANTIATE(float)
MRFCORE_INSTANTIATE(double)
#undef MRFCORE_INSTANTIATE

}  // namespace kernels
}  // namespace mrfcore::cuda
