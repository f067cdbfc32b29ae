// SPDX-License-Identifier: Apache-2.0
// Conditioned labelling in raster order from one of the image's corners: label_node() of
// cpp/cpu/trws.cpp, expression by expression. A warp labels an image row; neighbours behind are
// fixed, those ahead speak through their messages.
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
constexpr int kMostPairs = core::kMaxDirections / 2;

template <class T>
struct LabellingParameters {
  cpu::GridShape shape;
  Batch batch;
  cpu::EdgeWeightView<T> weights;
  const T* table;
  const T* table_t;
  const T* unary;
  cpu::Corner corner;
  /// By pair: the direction that points back in this order, the message that comes from ahead.
  core::Direction behind[kMostPairs];
  bool behind_owns[kMostPairs];  ///< whether the neighbour behind comes first in V
  const T* from_ahead[kMostPairs];
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
      : p(parameters),
        item(ticket.item),
        y(p.corner.bottom ? p.shape.height - 1 - ticket.row : ticket.row) {}

  __device__ __forceinline__ void label_all() {
    int before = 0;  // label of the node before this one in the row
    for (int64_t i = 0; i < p.shape.width; ++i) {
      const int64_t x = p.corner.right ? p.shape.width - 1 - i : i;
      look_around(x, before);
      before = best_label(y * p.shape.width + x);
      if (lane_index() == 0) labels()[y * p.shape.width + x] = before;
    }
  }

 private:
  __device__ __forceinline__ volatile int32_t* labels() const {
    return p.labels + item * p.shape.pixels();
  }
  __device__ __forceinline__ bool inside(int64_t dy, int64_t dx, int64_t x) const {
    const int64_t to_y = y + dy, to_x = x + dx;
    return to_y >= 0 && to_y < p.shape.height && to_x >= 0 && to_x < p.shape.width;
  }

  /// Lane g looks at pair g: whether there is a neighbour ahead; the label and the weight of the
  /// one behind, for which it waits.
  __device__ __forceinline__ void look_around(int64_t x, int before) {
    const int g = lane_index() < p.shape.connectivity / 2 ? lane_index() : 0;
    const bool mine = g == lane_index();
    const core::Direction d = p.behind[g];
    const int64_t neighbour = (y + d.dy) * p.shape.width + x + d.dx;
    const bool is_behind = mine && inside(d.dy, d.dx, x);
    ahead = __ballot_sync(kAllLanes, mine && inside(-d.dy, -d.dx, x));
    behind = __ballot_sync(kAllLanes, is_behind);
    weight = p.weights.scale;
    if (is_behind && p.weights.per_edge != nullptr) {
      const int64_t owner = p.behind_owns[g] ? neighbour : y * p.shape.width + x;
      weight = p.weights.scale * __ldg(p.weights.per_edge + item * p.batch.edge_weights +
                                       g * p.shape.pixels() + owner);
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
      const T* v = p.behind_owns[g] ? p.table : p.table_t;
      if (real) c = c + w * __ldg(v + m * p.shape.labels + l);
    }
    for (int g = 0; g < p.shape.connectivity / 2; ++g) {
      if ((ahead >> g & 1U) != 0 && real) c = c + __ldg(p.from_ahead[g] + at);
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
  p.table = args.table;
  p.table_t = args.table_t;
  p.unary = args.unary;
  p.corner = args.corner;
  for (int g = 0; g < args.shape.connectivity / 2; ++g) {
    const int back = cpu::comes_before(args.corner, 2 * g + 1) ? 2 * g + 1 : 2 * g;
    p.behind[g] = core::direction(back);
    p.behind_owns[g] = core::is_backward(back);
    p.from_ahead[g] = static_cast<const T*>(args.messages[back]);
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
