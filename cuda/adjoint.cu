// SPDX-License-Identifier: Apache-2.0
// The adjoint of a hard sweep (spec section 3): one warp undoes a scanline, both ways in one
// launch, by the stored arg-mins. Gradients go to the unaries through the volumes, and to per-edge
// weights: an edge belongs to one scanline, so nothing is added from two sides and no atomics are
// needed.
//
// Scattering gh(argmin(l)) += g(l) is turned round: each lane looks through all labels for those
// that came from its own, L^2 / 32 comparisons, in the CPU's order of summation, which gives its
// bits.
#include "adjoint_rules.cuh"
#include "scanlines.cuh"
#include "soft_row.cuh"
#include "wide_kernels.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct AdjointParameters {
  cpu::AdjointArgs<T> args;
  core::PairGeometry geometry;
  Batch batch;
  MessageGradients<T> left_behind;
};

/// Shared memory of one warp: a gradient row and the arg-mins of the same message.
template <class T>
struct Message {
  T* g;
  int* from;
};

/// gh(m) = sum of g(l) over labels l that came from m, in four banks as on the CPU.
template <class T, int NK>
__device__ __forceinline__ WarpRow<T, NK> gathered(const Message<T>& message, int labels) {
  T bank[4][NK] = {};
  const int whole = labels / 4 * 4;
  for (int l = 0; l < whole; l += 4) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int from = message.from[l + j];
      const T g = message.g[l + j];
#pragma unroll
      for (int k = 0; k < NK; ++k) {
        if (from == WarpRow<T, NK>::label(k)) bank[j][k] += g;
      }
    }
  }
  for (int l = whole; l < labels; ++l) {
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      if (message.from[l] == WarpRow<T, NK>::label(k)) bank[0][k] += message.g[l];
    }
  }
  WarpRow<T, NK> gh;
#pragma unroll
  for (int k = 0; k < NK; ++k) gh.at[k] = (bank[0][k] + bank[1][k]) + (bank[2][k] + bank[3][k]);
  return gh;
}

/// sum_l g(l) V(argmin(l), l)
template <class T, int NK>
__device__ __forceinline__ T weight_gradient(const cpu::PairwiseGradient<T>& gradient,
                                             bool backward, int labels, const WarpRow<T, NK>& g,
                                             const WarpRow<int, NK>& from) {
  const T* table = backward ? gradient.table_t : gradient.table;
  WarpRow<T, NK> product{};
#pragma unroll
  for (int k = 0; k < NK; ++k) {
    const int l = WarpRow<T, NK>::label(k), m = from.at[k];
    if (l >= labels) continue;
    const T v = table != nullptr ? __ldg(table + static_cast<int64_t>(m) * labels + l)
                                 : __ldg(gradient.differences + (m < l ? l - m : m - l));
    product.at[k] = g.at[k] * v;
  }
  return ordered_sum(product);
}

/// Undoes a scanline one way; leaves gradients of messages in `kept`, unless null.
template <class T, int NK, class Rule>
__device__ __forceinline__ void unwind(const AdjointParameters<T>& p, const Rule& rule,
                                       bool backward, const core::Scanline& line, T* edge_gradient,
                                       T* kept, const Tape& stored, const Message<T>& message) {
  const int labels = p.args.shape.labels;
  // The way went from one end to the other; now back.
  const int64_t step = backward ? line.node_stride : -line.node_stride;
  const int64_t to_owner = backward ? 0 : step;
  int64_t pixel = backward ? line.first : line.first + (line.count - 1) * line.node_stride;
  WarpRow<T, NK> gh{};
  for (int64_t i = line.count - 1; i > 0; --i, pixel += step) {
    const int minimum = stored.minimum_of(pixel);
    WarpRow<T, NK> g = rule.node(pixel, gh, minimum);
    if constexpr (!Rule::kMinimumOfState) subtract_at(g, minimum);
    if (kept != nullptr) write_row(kept + blockIdx.y * p.batch.volume, pixel, labels, g);
    WarpRow<int, NK> from{};
    __syncwarp();  // the last message has been read by all lanes
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const int l = WarpRow<T, NK>::label(k);
      if (l >= labels) continue;
      from.at[k] = stored.of(pixel, l);
      message.g[l] = g.at[k];
      message.from[l] = from.at[k];
    }
    __syncwarp();
    gh = gathered<T, NK>(message, labels);
    if (edge_gradient != nullptr) {
      const T total = weight_gradient(p.args.gradient, backward, labels, g, from);
      if (lane_index() == 0)
        edge_gradient[pixel + to_owner] += p.args.gradient.weight_factor * total;
    }
  }
  rule.head(pixel, gh, Rule::kMinimumOfState ? stored.minimum_of(pixel) : 0);
}

template <class T, int NK, class Forward, class Backward>
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp)
    adjoint_kernel(const __grid_constant__ AdjointParameters<T> p) {
  MRF_SHARED(T, shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp;
  if (index >= core::scanlines(p.geometry)) return;
  const core::Scanline line = core::scanline(p.geometry, index);
  if (line.count == 0) return;

  const cpu::AdjointArgs<T>& a = p.args;
  const int64_t item = blockIdx.y, at = item * p.batch.volume;
  const auto of_item = [at](auto* volume) { return volume == nullptr ? volume : volume + at; };
  T* edge_gradient =
      a.gradient.per_edge == nullptr
          ? nullptr
          : a.gradient.per_edge + item * p.batch.edge_weights + a.pair * a.shape.pixels();
  AdjointMemory<T> m{a.shape.labels,      of_item(a.sum),     of_item(a.sum_before),
                     of_item(a.backward), of_item(a.forward), of_item(a.cavity),
                     of_item(a.cost),     of_item(a.unary),   a.rho,
                     a.damping,           a.unary_head,       a.relative};
  T* rows = shared + warp * NK * kWarp;
  int* labels = reinterpret_cast<int*>(shared + kWarpsPerBlock * NK * kWarp) + warp * NK * kWarp;
  const Message<T> message{rows, labels};
  unwind<T, NK>(p, Backward{m}, true, line, edge_gradient, p.left_behind.backward,
                Tape(a.backward_tape, p.batch, item, a.shape.labels), message);
  T* const backward = m.own;
  m.own = m.other;
  m.other = backward;
  unwind<T, NK>(p, Forward{m}, false, line, edge_gradient, p.left_behind.forward,
                Tape(a.forward_tape, p.batch, item, a.shape.labels), message);
}

template <class T, int NK, class Forward, class Backward>
int launch(const AdjointParameters<T>& p, cudaStream_t stream) {
  const size_t shared = kWarpsPerBlock * NK * kWarp * (sizeof(T) + sizeof(int));
  const auto kernel = adjoint_kernel<T, NK, Forward, Backward>;
  MRF_LAUNCH(kernel, scanline_grid(p.geometry, p.batch), dim3(kWarpsPerBlock * kWarp), shared,
             stream, p);
  return static_cast<int>(cudaGetLastError());
}

template <class T, int NK>
int launch_rule(const AdjointParameters<T>& p, cudaStream_t stream) {
  switch (p.args.rule) {
    case cpu::SweepRule::SGM:
      return launch<T, NK, SgmAdjoint<T, NK>, SgmAdjoint<T, NK>>(p, stream);
    case cpu::SweepRule::ISGMR:
      return launch<T, NK, IsgmrForwardAdjoint<T, NK>, IsgmrBackwardAdjoint<T, NK>>(p, stream);
    case cpu::SweepRule::TRWP:
      break;
  }
  return launch<T, NK, TrwpAdjoint<T, NK>, TrwpAdjoint<T, NK>>(p, stream);
}

}  // namespace

template <class T>
int adjoint_pair(const cpu::AdjointArgs<T>& args, const Batch& batch,
                 const MessageGradients<T>& left_behind, Stream stream) {
  const AdjointParameters<T> p{args,
                               core::pair_geometry(args.pair, args.shape.height, args.shape.width),
                               batch, left_behind};
  const bool shared_weights = args.gradient.per_edge != nullptr && batch.edge_weights == 0;
  if (shared_weights && batch.count > 1) return static_cast<int>(cudaErrorInvalidValue);
  if (args.temperature > T(0)) return soft_adjoint_pair(args, batch, left_behind, stream);
  if (args.shape.labels > kMostLabels<T>)
    return wide_adjoint_pair(args, batch, left_behind, stream);
  return with_labels_per_lane<T>(args.shape.labels, [&]<int NK>() {
    return launch_rule<T, NK>(p, static_cast<cudaStream_t>(stream));
  });
}

template int adjoint_pair<float>(const cpu::AdjointArgs<float>&, const Batch&,
                                 const MessageGradients<float>&, Stream);
template int adjoint_pair<double>(const cpu::AdjointArgs<double>&, const Batch&,
                                  const MessageGradients<double>&, Stream);

}  // namespace mrfcore::cuda
