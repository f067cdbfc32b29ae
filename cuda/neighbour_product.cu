// SPDX-License-Identifier: Apache-2.0
// The product that mean field and its adjoint have in common; label_tile.cuh says how it is tiled.
//
// Per pixel, 2 L^2 arithmetic instructions (twice as many if V is asymmetric) and, for each tile of
// labels, D L loads of neighbours' rows, of which L2 or L1 has most. From and to memory: L of
// `from`, `add` and `to` each. On an H100 arithmetic decides beyond some 60 labels.
#include "neighbour_product.cuh"

#include "label_tile.cuh"
#include "neighbours.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct ProductParameters {
  NeighbourProduct<T> product;
  Neighbourhood near;
  Batch batch;
  int64_t offset[core::kMaxDirections];  ///< from a pixel's row to its neighbour's, in elements
};

/// Of one warp.
template <class T>
struct ProductMemory {
  TileVectors<T> vectors;
  T weights[core::kMaxDirections][kTilePixels];  ///< 0: no neighbour
};

template <class T>
__device__ __forceinline__ void read_weights(const ProductParameters<T>& p, int64_t first,
                                             ProductMemory<T>& memory) {
  const auto weights = of_item(p.product.weights, blockIdx.y, p.batch.edge_weights);
  const int64_t first_y = first / p.near.width, first_x = first - first_y * p.near.width;
  for (int i = lane_index(); i < p.near.count * kTilePixels; i += kWarp) {
    const int r = i / kTilePixels, t = i % kTilePixels;
    int64_t y = first_y, x = first_x + t;
    for (; x >= p.near.width; x -= p.near.width) ++y;
    const bool inside = y < p.near.height && p.near.inside(r, y, x);
    memory.weights[r][t] = inside ? p.near.weight(weights, r, first + t) : T(0);
  }
  __syncwarp();
}

/// vectors(m) = weighted sums over directions r0, r0 + step, ... of labels m0 + lane. `from`: row
/// of the first pixel.
template <class T>
__device__ __forceinline__ void gather(const ProductParameters<T>& p, const T* from, int m0, int r0,
                                       int step, ProductMemory<T>& memory) {
  const int64_t labels = p.product.shape.labels;
  const int m = m0 + lane_index();
  from += m < labels ? m : labels - 1;
  T sum[kTilePixels] = {};
  for (int r = r0; r < p.near.count; r += step) {
    const T* row = from + p.offset[r];
#pragma unroll
    for (int t = 0; t < kTilePixels; ++t, row += labels) {
      const T w = memory.weights[r][t];
      if (w != T(0)) sum[t] = sum[t] + w * *row;
    }
  }
  __syncwarp();  // the last vectors have been read by all lanes
#pragma unroll
  for (int t = 0; t < kTilePixels; ++t) memory.vectors.of_label[lane_index()][t] = sum[t];
  __syncwarp();
}

template <class T, int NK>
__device__ __forceinline__ void multiply(const ProductParameters<T>& p, const T* from,
                                         const T* table, const TileColumns<NK>& columns, int r0,
                                         int step, ProductMemory<T>& memory,
                                         LabelTile<T, NK>& out) {
  for (int m0 = 0; m0 < columns.labels; m0 += kWarp) {
    gather(p, from, m0, r0, step, memory);
    const int count = columns.labels - m0 < kWarp ? columns.labels - m0 : kWarp;
#pragma unroll 4
    for (int m = 0; m < count; ++m) {
      T v[NK];
      columns.load(table + static_cast<int64_t>(m0 + m) * columns.labels, v);
      out.add_product(memory.vectors.of_label[m], v);
    }
  }
}

template <class T, int NK>
__global__ void __launch_bounds__(kTileWarps* kWarp, 3)
    product_kernel(const __grid_constant__ ProductParameters<T> p) {
  MRF_SHARED(ProductMemory<T>, shared);
  const NeighbourProduct<T>& a = p.product;
  const int64_t labels = a.shape.labels, first = tile_pixel();
  if (first >= a.shape.pixels()) return;
  ProductMemory<T>& memory = shared[threadIdx.x / kWarp];
  read_weights(p, first, memory);

  const int64_t item = blockIdx.y * p.batch.volume;
  const T* from = a.from + item + first * labels;
  const TileColumns<NK> columns{static_cast<int>(blockIdx.z) * NK * kWarp, a.shape.labels};
  LabelTile<T, NK> sum;
  multiply(p, from, a.table, columns, a.symmetric ? 0 : 1, a.symmetric ? 1 : 2, memory, sum);
  if (!a.symmetric) {
    LabelTile<T, NK> ours;
    multiply(p, from, a.table_t, columns, 0, 2, memory, ours);
    sum.add(ours);
  }
#pragma unroll
  for (int t = 0; t < kTilePixels; ++t) {
    if (first + t >= a.shape.pixels()) break;
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      if (!columns.exists(k)) continue;
      const int64_t at = item + (first + t) * labels + columns.label(k);
      const T product = a.scale * sum.at[t][k];
      a.to[at] = a.add == nullptr ? product : a.add[at] + product;
    }
  }
}

}  // namespace

template <class T>
int neighbour_product(const NeighbourProduct<T>& product, const Batch& batch, Stream stream) {
  ProductParameters<T> p{product, Neighbourhood(product.shape), batch, {}};
  for (int r = 0; r < p.near.count; ++r) p.offset[r] = p.near.offset(r) * product.shape.labels;
  const TileGrid grid = TileGrid::of<T>(product.shape.pixels(), product.shape.labels, batch.count);
  return with_tile_chunks<T>(grid.chunks, [&]<int NK>() {
    MRF_LAUNCH((product_kernel<T, NK>), grid.blocks, dim3(kTileWarps * kWarp),
               kTileWarps * sizeof(ProductMemory<T>), static_cast<cudaStream_t>(stream), p);
    return static_cast<int>(cudaGetLastError());
  });
}

template int neighbour_product<float>(const NeighbourProduct<float>&, const Batch&, Stream);
template int neighbour_product<double>(const NeighbourProduct<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
