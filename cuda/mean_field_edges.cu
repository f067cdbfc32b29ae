// SPDX-License-Identifier: Apache-2.0
// d loss / d w of mean field: both ends' c contain w V, so the edge from its owner i to j gets
//   scale * sum_l (sum_m V(m, l) Q_i(m)) g_j(l) + (sum_m V(m, l) g_i(m)) Q_j(l).
// Two products of V with the owner's rows per pixel (label_tile.cuh), 4 L^2 arithmetic
// instructions, and 10 for each label and pair. A warp goes through the tiles of labels one after
// the other; the edges' partial sums wait in shared memory.
#include "label_tile.cuh"
#include "mean_field_gradients.cuh"
#include "neighbours.cuh"
#include "ordered_sum.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kParts = 16;  // partial sums of an edge, see OrderedSum

template <class T>
struct EdgeParameters {
  cpu::MeanFieldAdjointArgs<T> args;
  Neighbourhood near;
  Batch batch;
};

/// The owners' rows, of one warp.
template <class T>
struct EdgeVectors {
  TileVectors<T> beliefs, gradients;
};

/// The pixels of a warp and the edges that they own.
template <class T>
struct Edges {
  const EdgeParameters<T>& p;
  EdgeVectors<T>& vectors;
  T* sums;          ///< [pairs][kTilePixels][kParts]
  int64_t first;    ///< pixel
  int64_t row;      ///< its row of labels
  unsigned inside;  ///< lane t: the pairs of which pixel t owns an edge

  __device__ __forceinline__ int pairs() const { return p.near.count / 2; }

  __device__ __forceinline__ void start() {
    inside = 0;
    if (lane_index() < kTilePixels) {
      const int64_t pixel = first + lane_index(), y = pixel / p.near.width;
      const int64_t x = pixel - y * p.near.width;
      for (int pair = 0; pair < pairs() && y < p.near.height; ++pair)
        inside |= static_cast<unsigned>(p.near.inside(2 * pair, y, x)) << pair;
    }
    for (int i = lane_index(); i < pairs() * kTilePixels * kParts; i += kWarp) sums[i] = T(0);
    __syncwarp();
  }

  /// Labels m0 + lane of the pixels' own rows.
  __device__ __forceinline__ void read_vectors(int m0) const {
    const int64_t labels = p.args.shape.labels, m = m0 + lane_index();
    T belief[kTilePixels], gradient[kTilePixels];
#pragma unroll
    for (int t = 0; t < kTilePixels; ++t) {
      const bool exists = m < labels && first + t < p.args.shape.pixels();
      const int64_t at = row + t * labels + m;
      belief[t] = exists ? p.args.beliefs[at] : T(0);
      gradient[t] = exists ? p.args.grad_costs[at] : T(0);
    }
    __syncwarp();  // the last vectors have been read by all lanes
#pragma unroll
    for (int t = 0; t < kTilePixels; ++t) vectors.beliefs.of_label[lane_index()][t] = belief[t];
#pragma unroll
    for (int t = 0; t < kTilePixels; ++t) vectors.gradients.of_label[lane_index()][t] = gradient[t];
    __syncwarp();
  }

  /// What the labels of a tile add to the sums.
  template <int NK>
  __device__ __forceinline__ void add(const TileColumns<NK>& columns,
                                      const LabelTile<T, NK>& by_belief,
                                      const LabelTile<T, NK>& by_gradient) const {
    const int64_t labels = p.args.shape.labels;
    for (int pair = 0; pair < pairs(); ++pair) {
      const int64_t other = row + p.near.offset(2 * pair) * labels;
#pragma unroll
      for (int t = 0; t < kTilePixels; ++t) {
        if ((__shfl_sync(kAllLanes, inside, t) >> pair & 1) == 0) continue;
        T* const at = sums + (pair * kTilePixels + t) * kParts + lane_index() % kParts;
        OrderedSum<T> sum(lane_index() < kParts ? *at : T(0));
#pragma unroll
        for (int k = 0; k < NK; ++k) {
          const int64_t j = other + t * labels + columns.label(k);
          sum.add(columns.exists(k) ? by_belief.at[t][k] * p.args.grad_costs[j] +
                                          by_gradient.at[t][k] * p.args.beliefs[j]
                                    : T(0));
        }
        if (lane_index() < kParts) *at = sum.partial();
      }
    }
  }

  __device__ __forceinline__ void finish(T* per_edge) const {
    const int64_t pixels = p.args.shape.pixels();
    __syncwarp();
    // Halves, as OrderedSum::total(), two edges at a time.
    for (int i = lane_index(); i < pairs() * kTilePixels * kParts; i += kWarp) {
      T sum = sums[i];
#pragma unroll
      for (int half = kParts / 2; half > 0; half /= 2)
        sum = sum + __shfl_down_sync(kAllLanes, sum, half, kParts);
      if (i % kParts == 0) sums[i] = sum;
    }
    __syncwarp();
    for (int i = lane_index(); i < pairs() * kTilePixels; i += kWarp) {
      const int pair = i / kTilePixels, t = i % kTilePixels;
      if (first + t >= pixels) continue;
      // Where there is no edge the sum is zero.
      per_edge[pair * pixels + first + t] += p.args.scale * sums[i * kParts];
    }
  }
};

template <class T, int NK>
__global__ void __launch_bounds__(kTileWarps* kWarp, 3)
    edges_kernel(const __grid_constant__ EdgeParameters<T> p) {
  MRF_SHARED(EdgeVectors<T>, shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first = tile_pixel(), labels = p.args.shape.labels;
  if (first >= p.args.shape.pixels()) return;
  T* const sums =
      reinterpret_cast<T*>(shared + kTileWarps) + warp * (p.near.count / 2) * kTilePixels * kParts;
  Edges<T> edges{p, shared[warp], sums, first, blockIdx.y * p.batch.volume + first * labels, 0};
  edges.start();
  for (int l0 = 0; l0 < labels; l0 += NK * kWarp) {
    const TileColumns<NK> columns{l0, p.args.shape.labels};
    LabelTile<T, NK> by_belief, by_gradient;
    for (int m0 = 0; m0 < labels; m0 += kWarp) {
      edges.read_vectors(m0);
      const int count = columns.labels - m0 < kWarp ? columns.labels - m0 : kWarp;
#pragma unroll 2
      for (int m = 0; m < count; ++m) {
        T v[NK];
        columns.load(p.args.table + (m0 + m) * labels, v);
        by_belief.add_product(edges.vectors.beliefs.of_label[m], v);
        by_gradient.add_product(edges.vectors.gradients.of_label[m], v);
      }
    }
    edges.add(columns, by_belief, by_gradient);
  }
  edges.finish(p.args.gradient.per_edge + blockIdx.y * p.batch.edge_weights);
}

}  // namespace

template <class T>
int mean_field_edges(const cpu::MeanFieldAdjointArgs<T>& args, const Batch& batch, Stream stream) {
  // Items would add to the same numbers.
  if (batch.count > 1 && batch.edge_weights == 0) return static_cast<int>(cudaErrorInvalidValue);
  const EdgeParameters<T> p{args, Neighbourhood(args.shape), batch};
  TileGrid grid = TileGrid::of<T>(args.shape.pixels(), args.shape.labels, batch.count);
  grid.blocks.z = 1;
  const size_t sums = static_cast<size_t>(p.near.count / 2 * kTilePixels * kParts) * sizeof(T);
  return with_tile_chunks<T>(grid.chunks, [&]<int NK>() {
    MRF_LAUNCH((edges_kernel<T, NK>), grid.blocks, dim3(kTileWarps * kWarp),
               kTileWarps * (sizeof(EdgeVectors<T>) + sums), static_cast<cudaStream_t>(stream), p);
    return static_cast<int>(cudaGetLastError());
  });
}

template int mean_field_edges<float>(const cpu::MeanFieldAdjointArgs<float>&, const Batch&, Stream);
template int mean_field_edges<double>(const cpu::MeanFieldAdjointArgs<double>&, const Batch&,
                                      Stream);

}  // namespace mrfcore::cuda
