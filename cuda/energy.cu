// SPDX-License-Identifier: Apache-2.0
// E(labels), to the bit as cpp/ops/energy.cpp: terms in double, and sums from left to right along a
// row, one for the unaries and one for each pair's edges, then row by row.
//
// A warp per row. It fetches the terms of 128 pixels, lane by lane, into shared memory; then lane c
// adds up those of sum c. A pixel costs 4 bytes of label, 4 per pair of weights and a line of
// 32 bytes of unaries, which decides on large images; the chain of additions, some 10 cycles a
// pixel, takes about as long.
#include "core/directions.hpp"
#include "kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kTile = 128;         // pixels at a time
constexpr int kApart = kTile + 1;  // doubles from one sum's terms to the next's: no bank twice
constexpr int kMostPairs = core::kMaxDirections / 2;

template <class T>
struct EnergyParameters {
  EnergyArgs<T> args;
  Batch batch;
  core::Direction pairs[kMostPairs];
};

/// One row of one item.
template <class T>
struct EnergyRow {
  const EnergyParameters<T>& p;
  int64_t y;
  const T* unary;         // of the item
  const int32_t* labels;  // of the item
  const T* weights;       // of the item, or null

  __device__ __forceinline__ explicit EnergyRow(const EnergyParameters<T>& parameters, int64_t row)
      : p(parameters), y(row) {
    const int64_t item = blockIdx.y;
    unary = p.args.unary + item * p.batch.volume;
    labels = p.args.labels + item * p.args.shape.pixels();
    weights = p.args.weights.per_edge;
    if (weights != nullptr) weights += item * p.batch.edge_weights;
  }

  __device__ __forceinline__ bool labelled(int32_t label) const {
    return label >= 0 && label < p.args.shape.labels;
  }

  /// +inf if the label is forbidden; NaN (and no look outside the volume) if it does not exist.
  __device__ __forceinline__ double unary_term(int64_t x) const {
    const int64_t i = y * p.args.shape.width + x;
    const int32_t label = labels[i];
    if (!labelled(label)) return cpu::kInfinity<double> - cpu::kInfinity<double>;
    const T cost = unary[i * p.args.shape.labels + label];
    return cost >= kForbidden<T> / T(64) ? cpu::kInfinity<double> : static_cast<double>(cost);
  }

  /// w V of the edge that pixel (y, x) owns; 0, which changes no sum, where there is none.
  __device__ __forceinline__ double edge_term(int pair, int64_t x) const {
    const cpu::GridShape& s = p.args.shape;
    const core::Direction d = p.pairs[pair];
    if (y + d.dy >= s.height || x + d.dx < 0 || x + d.dx >= s.width) return 0.0;
    const int64_t i = y * s.width + x;
    const int32_t first = labels[i], second = labels[i + d.dy * s.width + d.dx];
    if (!labelled(first) || !labelled(second)) return 0.0;  // the unary terms tell
    const double v =
        p.args.differences == nullptr
            ? __ldg(p.args.table + int64_t{first} * s.labels + second)
            : __ldg(p.args.differences + (first < second ? second - first : first - second));
    return weights == nullptr ? v : v * static_cast<double>(weights[pair * s.pixels() + i]);
  }

  /// Sum c's term of pixel (y, x).
  __device__ __forceinline__ double term(int c, int64_t x) const {
    if (x >= p.args.shape.width) return 0.0;
    return c == 0 ? unary_term(x) : edge_term(c - 1, x);
  }
};

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    energy_rows_kernel(const __grid_constant__ EnergyParameters<T> p) {
  MRF_SHARED(double, shared);
  const cpu::GridShape& s = p.args.shape;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = lane_index();
  const int64_t y = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
  if (y >= s.height) return;
  const int sums = 1 + s.connectivity / 2;
  double* const terms = shared + warp * sums * kApart;
  const EnergyRow<T> row(p, y);
  double sum = 0.0;  // lane c: sum c
  for (int64_t x = 0; x < s.width; x += kTile) {
    for (int c = 0; c < sums; ++c) {
#pragma unroll
      for (int k = 0; k < kTile; k += kWarp)
        terms[c * kApart + k + lane] = row.term(c, x + k + lane);
    }
    __syncwarp();
    if (lane < sums) {
#pragma unroll 8
      for (int k = 0; k < kTile; ++k) sum += terms[lane * kApart + k];
    }
    __syncwarp();
  }
  double edges = 0.0;
  for (int c = 1; c < sums; ++c) edges += __shfl_sync(kAllLanes, sum, c);
  if (lane == 0) {
    p.args.rows[blockIdx.y * s.height + y] =
        sum + edges * static_cast<double>(p.args.weights.scale);
  }
}

}  // namespace

template <class T>
int energy(const EnergyArgs<T>& args, const Batch& batch, Stream stream) {
  EnergyParameters<T> p{args, batch, {}};
  const int pairs = args.shape.connectivity / 2;
  for (int pair = 0; pair < pairs; ++pair) p.pairs[pair] = core::direction(2 * pair);
  const dim3 grid(static_cast<unsigned>((args.shape.height + kWarps - 1) / kWarps),
                  static_cast<unsigned>(batch.count));
  const size_t shared = static_cast<size_t>(kWarps * (1 + pairs) * kApart) * sizeof(double);
  MRF_LAUNCH(energy_rows_kernel<T>, grid, dim3(kWarps * kWarp), shared,
             static_cast<cudaStream_t>(stream), p);
  if (const cudaError_t code = cudaGetLastError(); code != cudaSuccess)
    return static_cast<int>(code);
  return sum_rows(args.rows, args.shape.height, batch.count, args.energy, stream);
}

template int energy<float>(const EnergyArgs<float>&, const Batch&, Stream);
template int energy<double>(const EnergyArgs<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
