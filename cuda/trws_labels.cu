// SPDX-License-Identifier: Apache-2.0
// Conditioned labelling in raster order: label_node() of cpp/cpu/trws.cpp, expression by
// expression. A warp labels an image row; neighbours behind are fixed, those ahead speak through
// their messages.
//
// Rows follow one another as a wavefront. All that one node tells another is its label, so the
// labels themselves are the signals: none (-1) until known. Per label and node, 1 + D / 2 values
// come from memory and D / 2 rows of V from cache, with 3 D / 2 operations; what limits is the
// chain of W + lead * H dependent nodes.
#include <limits>

#include "core/directions.hpp"
#include "kernels.hpp"
#include "signal.cuh"
#include "warp_row.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kRowsPerBlock = 4;

template <class T>
struct LabellingParameters {
  cpu::GridShape shape;
  Batch batch;
  cpu::EdgeWeightView<T> weights;
  const T* table;
  const T* unary;
  const T* messages[core::kMaxDirections];
  core::Direction directions[core::kMaxDirections];
  int32_t* labels;
  int32_t* ticket;
};

template <class T>
__device__ __forceinline__ void better(T& value, int& label, T other, int other_label) {
  if (other < value || (other == value && other_label < label)) {
    value = other;
    label = other_label;
  }
}

template <class T>
class LabelledRow {
 public:
  __device__ __forceinline__ LabelledRow(const LabellingParameters<T>& parameters,
                                         const RowTicket& ticket)
      : p(parameters), item(ticket.item), y(ticket.row) {}

  __device__ __forceinline__ void label_all() {
    int before = 0;  // label of the node to the left
    for (int64_t x = 0; x < p.shape.width; ++x) {
      look_around(x, before);
      before = best_label(y * p.shape.width + x);
      if (lane_index() == 0) labels()[y * p.shape.width + x] = before;
    }
  }

 private:
  __device__ __forceinline__ volatile int32_t* labels() const {
    return p.labels + item * p.shape.pixels();
  }
  __device__ __forceinline__ bool inside(const core::Direction& d, int64_t x) const {
    const int64_t to_y = y + d.dy, to_x = x + d.dx;
    return to_y >= 0 && to_y < p.shape.height && to_x >= 0 && to_x < p.shape.width;
  }

  /// Lane g looks at pair g: whether there is a neighbour ahead; the label and the weight of the
  /// one behind, for which it waits.
  __device__ __forceinline__ void look_around(int64_t x, int before) {
    const int g = lane_index() < p.shape.connectivity / 2 ? lane_index() : 0;
    const bool mine = g == lane_index();
    const core::Direction d = p.directions[2 * g + 1];
    const int64_t neighbour = (y + d.dy) * p.shape.width + x + d.dx;
    const bool is_behind = mine && inside(d, x);
    ahead = __ballot_sync(kAllLanes, mine && inside(p.directions[2 * g], x));
    behind = __ballot_sync(kAllLanes, is_behind);
    weight = p.weights.scale;
    if (is_behind && p.weights.per_edge != nullptr) {
      weight = p.weights.scale * __ldg(p.weights.per_edge + item * p.batch.edge_weights +
                                       g * p.shape.pixels() + neighbour);
    }
    fixed = before;  // pair 0: the direction along the row
    if (!is_behind || g == 0) return;
    while ((fixed = glance(p.labels + item * p.shape.pixels() + neighbour)) < 0) pause();
  }

  /// Lowest label of least cost.
  __device__ __forceinline__ int best_label(int64_t pixel) const {
    const int64_t at = item * p.batch.volume + pixel * p.shape.labels;
    T best = cpu::kInfinity<T>;
    int label = 0;  // as on the CPU where every cost is infinite or none a number
    __syncwarp();
    for (int first = 0; first < p.shape.labels; first += kWarp) {
      const int l = first + lane_index();
      const bool real = l < p.shape.labels;
      const T c = cost(at + l, l, real);
      if (real) better(best, label, c, l);
    }
#pragma unroll
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
      const T other = __shfl_xor_sync(kAllLanes, best, apart);
      const int other_label = __shfl_xor_sync(kAllLanes, label, apart);
      better(best, label, other, other_label);
    }
    return label;
  }

  /// All lanes come here, for the shuffles.
  __device__ __forceinline__ T cost(int64_t at, int l, bool real) const {
    T c = real ? __ldg(p.unary + at) : T(0);
    for (int g = 0; g < p.shape.connectivity / 2; ++g) {
      if ((behind >> g & 1U) == 0) continue;
      const T w = __shfl_sync(kAllLanes, weight, g);
      const int64_t m = __shfl_sync(kAllLanes, fixed, g);
      if (real) c = c + w * __ldg(p.table + m * p.shape.labels + l);
    }
    for (int g = 0; g < p.shape.connectivity / 2; ++g) {
      if ((ahead >> g & 1U) != 0 && real) c = c + __ldg(p.messages[2 * g + 1] + at);
    }
    return c;
  }

  const LabellingParameters<T>& p;
  const int64_t item, y;
  unsigned behind = 0, ahead = 0;  ///< bit g: pair g has a neighbour there
  T weight;                        ///< lane g: of the edge to the one behind
  int fixed;                       ///< lane g: its label
};

template <class T>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp, 1)
    trws_labels_kernel(const __grid_constant__ LabellingParameters<T> p) {
  int ticket = 0;
  if (lane_index() == 0) ticket = atomicAdd(p.ticket, 1);
  ticket = __shfl_sync(kAllLanes, ticket, 0);
  if (ticket >= p.shape.height * p.batch.count) return;
  LabelledRow<T>(p, RowTicket(ticket, p.batch.count)).label_all();
}

/// Nothing is labelled, no ticket dealt.
template <class T>
cudaError_t clear(const LabellingParameters<T>& p, cudaStream_t stream) {
  const auto pixels = static_cast<size_t>(p.shape.pixels() * p.batch.count);
  const cudaError_t error = cudaMemsetAsync(p.labels, 0xFF, pixels * sizeof(int32_t), stream);
  if (error != cudaSuccess) return error;
  return cudaMemsetAsync(p.ticket, 0, sizeof(int32_t), stream);
}

}  // namespace

template <class T>
int trws_labels(const cpu::LabellingArgs<T>& args, const Batch& batch, int32_t* progress,
                Stream stream) {
  const int64_t rows = args.shape.height * batch.count;
  if (rows > std::numeric_limits<int32_t>::max() - kRowsPerBlock)
    return static_cast<int>(cudaErrorInvalidValue);
  LabellingParameters<T> p{};
  p.shape = args.shape;
  p.batch = batch;
  p.weights = args.weights;
  p.table = args.table;  // neighbours behind come first in V
  p.unary = args.unary;
  for (int r = 0; r < args.shape.connectivity; ++r) {
    p.messages[r] = args.messages[r];
    p.directions[r] = core::direction(r);
  }
  p.labels = args.labels;
  p.ticket = progress;
  const cudaError_t error = clear(p, static_cast<cudaStream_t>(stream));
  if (error != cudaSuccess) return forgotten(error);
  MRF_LAUNCH(trws_labels_kernel<T>,
             dim3(static_cast<unsigned>((rows + kRowsPerBlock - 1) / kRowsPerBlock)),
             dim3(kRowsPerBlock * kWarp), 0, static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

template int trws_labels<float>(const cpu::LabellingArgs<float>&, const Batch&, int32_t*, Stream);
template int trws_labels<double>(const cpu::LabellingArgs<double>&, const Batch&, int32_t*, Stream);

}  // namespace mrfcore::cuda
