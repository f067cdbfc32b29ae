// SPDX-License-Identifier: Apache-2.0
// d loss / d V(m, l) of mean field: with the weighted sums `theirs` and `ours` of a pixel's
// neighbours' beliefs (neighbour_product.cuh) and the gradient g of its costs,
//   sum over pixels of scale (theirs(m) g(l) + g(m) ours(l)).
// A product of matrices, pixels being the inner dimension: a block has a tile of (m, l) and a bin,
// that is a run of pixels, of which it fetches 16 at a time into shared memory. Each thread keeps
// 4 x 4 (2 x 2 up to 32 labels) elements in registers: the 16 pixels' sum in T, as precise as the
// products, the bin's in double. 4 L^2 arithmetic instructions per pixel decide.
#include "mean_field_gradients.cuh"
#include "neighbours.cuh"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kSide = 16;    // threads along each side of a tile
constexpr int kPixels = 16;  // fetched at a time
constexpr int kThreads = kSide * kSide;
static_assert(kPixels * core::kMaxDirections == kThreads, "a thread per pixel and direction");

template <class T>
struct TableParameters {
  cpu::MeanFieldAdjointArgs<T> args;
  Neighbourhood near;
  Batch batch;
  int64_t offset[core::kMaxDirections];  ///< from a pixel's row to its neighbour's, in elements
};

/// Rows of 16 pixels, those of m and those of l.
template <class T, int N>
struct alignas(16) TableMemory {
  static constexpr int kTile = kSide * N;
  T theirs[kPixels][kTile];     ///< of m, scaled
  T own[kPixels][kTile];        ///< g of m, scaled
  T gradients[kPixels][kTile];  ///< g of l
  T ours[kPixels][kTile];       ///< of l
  T weights[core::kMaxDirections][kPixels];
  int64_t row[kPixels];
};

/// Pixel number `index` of the batch: items one after the other.
template <class T>
struct TablePixels {
  const TableParameters<T>& p;
  int64_t begin, end;  ///< this block's

  __device__ __forceinline__ explicit TablePixels(const TableParameters<T>& parameters)
      : p(parameters) {
    const int64_t all = p.args.shape.pixels() * p.batch.count, bins = p.args.gradient.bins;
    begin = blockIdx.x * all / bins;
    end = (blockIdx.x + int64_t{1}) * all / bins;
  }

  /// A thread per pixel and direction. Pixels beyond the end are the last one again without its
  /// neighbours, which adds zero.
  template <int N>
  __device__ __forceinline__ void locate(int64_t first, TableMemory<T, N>& memory) const {
    const int t = static_cast<int>(threadIdx.x) % kPixels;
    const int r = static_cast<int>(threadIdx.x) / kPixels;
    const int64_t index = first + t < end ? first + t : end - 1;
    const int64_t item = index / p.args.shape.pixels();
    const int64_t pixel = index - item * p.args.shape.pixels();
    const int64_t y = pixel / p.near.width, x = pixel - y * p.near.width;
    const bool used = first + t < end && r < p.near.count && p.near.inside(r, y, x);
    const auto weights = of_item(p.args.weights, item, p.batch.edge_weights);
    memory.weights[r][t] = used ? p.near.weight(weights, r, pixel) : T(0);
    if (r == 0) memory.row[t] = item * p.batch.volume + pixel * p.args.shape.labels;
  }

  /// Weighted sum of the beliefs of the neighbours in directions r0, r0 + 2, ... of one label.
  template <int N>
  __device__ __forceinline__ T neighbours(const TableMemory<T, N>& memory, int t, int r0,
                                          int64_t label) const {
    const T* belief = p.args.beliefs + memory.row[t] + label;
    T sum = T(0);
#pragma unroll 4
    for (int r = r0; r < p.near.count; r += 2) {
      const T w = memory.weights[r][t];
      if (w != T(0)) sum = sum + w * belief[p.offset[r]];
    }
    return sum;
  }

  /// Labels m0 + i and l0 + i of all 16 pixels.
  template <int N>
  __device__ __forceinline__ void fetch(int64_t m0, int64_t l0, TableMemory<T, N>& memory) const {
    constexpr int kTile = TableMemory<T, N>::kTile;
    const int64_t labels = p.args.shape.labels;
    for (int i = static_cast<int>(threadIdx.x); i < kPixels * kTile; i += kThreads) {
      const int t = i / kTile, at = i % kTile;
      const T* g = p.args.grad_costs + memory.row[t];
      const int64_t m = m0 + at, l = l0 + at;
      const bool has_m = m < labels, has_l = l < labels;
      memory.theirs[t][at] = has_m ? p.args.scale * neighbours(memory, t, 1, m) : T(0);
      memory.own[t][at] = has_m ? p.args.scale * g[m] : T(0);
      memory.gradients[t][at] = has_l ? g[l] : T(0);
      memory.ours[t][at] = has_l ? neighbours(memory, t, 0, l) : T(0);
    }
  }
};

/// Adds the 16 pixels' part of a thread's elements.
template <class T, int N>
__device__ __forceinline__ void add_pixels(const TableMemory<T, N>& memory, int m, int l,
                                           double (&total)[N][N]) {
  T sum[N][N] = {};
#pragma unroll 4
  for (int t = 0; t < kPixels; ++t) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        sum[i][j] = sum[i][j] + (memory.theirs[t][m + i] * memory.gradients[t][l + j] +
                                 memory.own[t][m + i] * memory.ours[t][l + j]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i) {
#pragma unroll
    for (int j = 0; j < N; ++j) total[i][j] += static_cast<double>(sum[i][j]);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads, sizeof(T) * N < 32 ? 2 : 1)
    table_kernel(const __grid_constant__ TableParameters<T> p) {
  using Memory = TableMemory<T, N>;
  MRF_SHARED(Memory, memory);
  constexpr int kTile = Memory::kTile;
  const int m = static_cast<int>(threadIdx.x) / kSide * N;  // within the tile
  const int l = static_cast<int>(threadIdx.x) % kSide * N;
  const int64_t labels = p.args.shape.labels;
  const int64_t m0 = static_cast<int64_t>(blockIdx.z) * kTile;
  const int64_t l0 = static_cast<int64_t>(blockIdx.y) * kTile;
  const TablePixels<T> pixels(p);
  double total[N][N] = {};
  for (int64_t first = pixels.begin; first < pixels.end; first += kPixels) {
    pixels.locate(first, *memory);
    __syncthreads();
    pixels.fetch(m0, l0, *memory);
    __syncthreads();
    add_pixels(*memory, m, l, total);
    __syncthreads();
  }
  double* values = p.args.gradient.values + blockIdx.x * labels * labels;
#pragma unroll
  for (int i = 0; i < N; ++i) {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (m0 + m + i < labels && l0 + l + j < labels)
        values[(m0 + m + i) * labels + l0 + l + j] += total[i][j];
    }
  }
}

template <class T, int N>
int launch(const TableParameters<T>& p, Stream stream) {
  constexpr int kTile = TableMemory<T, N>::kTile;
  const auto tiles = static_cast<unsigned>((p.args.shape.labels + kTile - 1) / kTile);
  const dim3 grid(static_cast<unsigned>(p.args.gradient.bins), tiles, tiles);
  MRF_LAUNCH((table_kernel<T, N>), grid, dim3(kThreads), sizeof(TableMemory<T, N>),
             static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

template <class T>
int mean_field_table(const cpu::MeanFieldAdjointArgs<T>& args, const Batch& batch, Stream stream) {
  if (args.gradient.bins < 1) return static_cast<int>(cudaErrorInvalidValue);
  TableParameters<T> p{args, Neighbourhood(args.shape), batch, {}};
  for (int r = 0; r < p.near.count; ++r) p.offset[r] = p.near.offset(r) * args.shape.labels;
  return args.shape.labels <= 2 * kSide ? launch<T, 2>(p, stream) : launch<T, 4>(p, stream);
}

template int mean_field_table<float>(const cpu::MeanFieldAdjointArgs<float>&, const Batch&, Stream);
template int mean_field_table<double>(const cpu::MeanFieldAdjointArgs<double>&, const Batch&,
                                      Stream);

}  // namespace mrfcore::cuda
