// SPDX-License-Identifier: Apache-2.0
// E(labels), to the bit as cpp/ops/energy.cpp: terms in double, and sums from left to right along a
// row, one for the unaries and one for each pair's edges, then row by row.
//
// A block per row, a warp for each of its sums. A warp fetches the terms of 128 pixels, lane by
// lane, into shared memory, and adds them up in order. A pixel costs 4 bytes of label, 4 per pair
// of weights and a line of 32 bytes of unaries, which decides on large images; the chain of
// additions, some 10 cycles a pixel, takes about as long.
#include "core/directions.hpp"
#include "kernels.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kTile = 128;            // pixels at a time
constexpr int kEach = kTile / kWarp;  // of a lane
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

  /// Terms of the unaries of a tile: +inf if the label is forbidden; NaN, and no look outside the
  /// volume, if it does not exist.
  __device__ __forceinline__ void fetch_unaries(int64_t tile, double* terms) const {
    const cpu::GridShape& s = p.args.shape;
    int32_t label[kEach];
    T cost[kEach];
#pragma unroll
    for (int k = 0; k < kEach; ++k) label[k] = labels[pixel(tile, k)];
#pragma unroll
    for (int k = 0; k < kEach; ++k)
      cost[k] = unary[pixel(tile, k) * s.labels + (exists(label[k]) ? label[k] : 0)];
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      double term = static_cast<double>(cost[k]);
      if (cost[k] >= kForbidden<T> / T(64)) term = cpu::kInfinity<double>;
      if (!exists(label[k])) term = cpu::kInfinity<double> - cpu::kInfinity<double>;
      terms[k * kWarp + lane_index()] = column(tile, k) < s.width ? term : 0.0;
    }
  }

  /// w V of the edges that the pixels of a tile own; 0, which changes no sum, where there is none.
  __device__ __forceinline__ void fetch_edges(int pair, int64_t tile, double* terms) const {
    const cpu::GridShape& s = p.args.shape;
    const core::Direction d = p.pairs[pair];
    const bool by_difference = p.args.differences != nullptr;
    const double* values = by_difference ? p.args.differences : p.args.table;
    int32_t first[kEach], second[kEach];
    T w[kEach];
    double v[kEach];
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const int64_t i = pixel(tile, k);
      first[k] = labels[i];
      second[k] = labels[inside(d, tile, k) ? i + d.dy * s.width + d.dx : i];
      w[k] = T(1);
      if (weights != nullptr) w[k] = weights[pair * s.pixels() + i];
    }
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      // Of labels that do not exist the unaries tell.
      const int64_t l = exists(first[k]) ? first[k] : 0, m = exists(second[k]) ? second[k] : 0;
      const int64_t difference = l < m ? m - l : l - m;
      v[k] = __ldg(values + (by_difference ? difference : l * s.labels + m));
    }
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const double term = v[k] * static_cast<double>(w[k]);
      terms[k * kWarp + lane_index()] = inside(d, tile, k) ? term : 0.0;
    }
  }

 private:
  __device__ __forceinline__ bool exists(int32_t label) const {
    return label >= 0 && label < p.args.shape.labels;
  }
  __device__ __forceinline__ int64_t column(int64_t tile, int k) const {
    return tile + k * kWarp + lane_index();
  }
  /// The row's last pixel stands in for those beyond it: without branches, the loads of all pixels
  /// of a tile are under way together.
  __device__ __forceinline__ int64_t pixel(int64_t tile, int k) const {
    const int64_t x = column(tile, k), width = p.args.shape.width;
    return y * width + (x < width ? x : width - 1);
  }
  __device__ __forceinline__ bool inside(const core::Direction& d, int64_t tile, int k) const {
    const int64_t x = column(tile, k), width = p.args.shape.width;
    return y + d.dy < p.args.shape.height && x < width && x + d.dx >= 0 && x + d.dx < width;
  }
};

template <class T>
__global__ void __launch_bounds__((1 + kMostPairs) * kWarp)
    energy_rows_kernel(const __grid_constant__ EnergyParameters<T> p) {
  MRF_SHARED(double, shared);
  const int sums = static_cast<int>(blockDim.x) / kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  double* const terms = shared + sums + warp * kTile;
  const int64_t y = blockIdx.x;
  const EnergyRow<T> row(p, y);
  double sum = 0.0;
  for (int64_t tile = 0; tile < p.args.shape.width; tile += kTile) {
    if (warp == 0) {
      row.fetch_unaries(tile, terms);
    } else {
      row.fetch_edges(warp - 1, tile, terms);
    }
    __syncwarp();
#pragma unroll 16
    for (int k = 0; k < kTile; ++k) sum += terms[k];  // all lanes the same
    __syncwarp();
  }
  if (lane_index() == 0) shared[warp] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  double edges = 0.0;
  for (int c = 1; c < sums; ++c) edges += shared[c];
  p.args.rows[blockIdx.y * p.args.shape.height + y] =
      shared[0] + edges * static_cast<double>(p.args.weights.scale);
}

}  // namespace

template <class T>
int energy(const EnergyArgs<T>& args, const Batch& batch, Stream stream) {
  EnergyParameters<T> p{args, batch, {}};
  const int pairs = args.shape.connectivity / 2;
  for (int pair = 0; pair < pairs; ++pair) p.pairs[pair] = core::direction(2 * pair);
  const dim3 grid(static_cast<unsigned>(args.shape.height), static_cast<unsigned>(batch.count));
  const size_t shared = static_cast<size_t>((1 + pairs) * (1 + kTile)) * sizeof(double);
  MRF_LAUNCH(energy_rows_kernel<T>, grid, dim3(static_cast<unsigned>((1 + pairs) * kWarp)), shared,
             static_cast<cudaStream_t>(stream), p);
  if (const cudaError_t code = cudaGetLastError(); code != cudaSuccess)
    return static_cast<int>(code);
  return sum_rows(args.rows, args.shape.height, batch.count, args.energy, stream);
}

template int energy<float>(const EnergyArgs<float>&, const Batch&, Stream);
template int energy<double>(const EnergyArgs<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
