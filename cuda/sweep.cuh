// SPDX-License-Identifier: Apache-2.0
// The sweep engine on the GPU: one warp per scanline, its row of labels in registers, both ways of
// a direction pair in one launch. Per message and label, a TRWP pair reads and writes sum and two
// messages once each way: 20 bytes, of which the second way finds in L2 what a scanline leaves
// there.
//
// A header, so that sweep_float.cu and sweep_double.cu can be compiled at the same time: no file
// takes longer.
//
// The chain of dependent steps along a scanline is the limit where the image is small: what the
// next node needs from memory is asked for before the present node is convolved, and a row's
// minimum is looked for once in a node. Instructions of a warp per message of TRWP with arg-mins,
// truncated linear at 8: about 450 for 96 labels, as nvcc 13.0 makes them for sm_90.
#pragma once

#include "convolve.cuh"
#include "rules.cuh"
#include "scanlines.cuh"
#include "soft_row.cuh"
#include "table_kernels.cuh"
#include "wide_kernels.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct SweepParameters {
  cpu::SweepArgs<T> args;
  MinConvolutionPlan<T> plan;
  core::PairGeometry geometry;
  Batch batch;
};

/// Walks a scanline one way.
template <class T, int NK, bool Argmin, class Rule>
__device__ __forceinline__ void walk(const SweepParameters<T>& p, const Rule& rule, bool backward,
                                     const core::Scanline& line, const T* edge_weights,
                                     const WarpTape<NK>& tape, T* shared_row) {
  const int64_t step = backward ? -line.node_stride : line.node_stride;
  // The edge to the predecessor belongs to whichever comes first in the pair's even direction.
  const int64_t to_owner = backward ? 0 : -step;
  const int labels = p.args.shape.labels;
  int64_t pixel = backward ? line.first + (line.count - 1) * line.node_stride : line.first;

  typename Rule::Node next = rule.read(pixel);
  WarpRow<T, NK> h = rule.head(pixel, next);
  forbid_padding(h, labels);
  if constexpr (Argmin) {
    if (Rule::kMinimumOfState) tape.keep_minimum(pixel, first_label(h, T(0)));
  }
  T next_weight = T(1);
  const auto read_ahead = [&](int64_t to) {
    next = rule.read(to);
    if (edge_weights != nullptr) next_weight = __ldg(edge_weights + to + to_owner);
  };
  if (line.count > 1) read_ahead(pixel + step);
  for (int64_t i = 1; i < line.count; ++i) {
    pixel += step;
    const typename Rule::Node node = next;
    const T w = p.args.weights.scale * next_weight;
    if (i + 1 < line.count) read_ahead(pixel + step);
    // Every other minimum of a row would be one more chain of shuffles: states that have lost
    // theirs need none.
    T lowest = Rule::kMinimumOfState ? T(0) : row_minimum(h);
    Convolved<T, NK, Argmin> message;
    convolve<false>(p.plan, backward, h, lowest, w, shared_row, message);
    forbid_padding(message.value, labels);
    if (!Rule::kMinimumOfState && !keeps_minimum(p.plan, w)) lowest = row_minimum(message.value);
    h = rule.node(pixel, node, message.value, lowest);
    forbid_padding(h, labels);
    if constexpr (Argmin) {
      tape.keep(pixel, message.from);
      tape.keep_minimum(pixel, first_label(Rule::kMinimumOfState ? h : message.value, lowest));
    }
  }
}

template <class T, int NK, bool Argmin, class Forward, class Backward>
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp)
    sweep_kernel(const __grid_constant__ SweepParameters<T> p) {
  MRF_SHARED(T, shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp;
  if (index >= core::scanlines(p.geometry)) return;
  const core::Scanline line = core::scanline(p.geometry, index);
  if (line.count == 0) return;

  const cpu::SweepArgs<T>& a = p.args;
  const int64_t item = blockIdx.y, at = item * p.batch.volume;
  const T* edge_weights =
      a.weights.per_edge == nullptr
          ? nullptr
          : a.weights.per_edge + item * p.batch.edge_weights + a.pair * a.shape.pixels();
  SweepMemory<T> m = SweepMemory<T>::of_item(a, at);
  T* row = shared + warp * NK * kWarp;
  walk<T, NK, Argmin>(p, Forward{m}, false, line, edge_weights,
                      WarpTape<NK>(a.forward_tape, p.batch, item, a.shape.labels), row);
  T* const forward = m.own;
  m.own = m.other;
  m.other = forward;
  walk<T, NK, Argmin>(p, Backward{m}, true, line, edge_weights,
                      WarpTape<NK>(a.backward_tape, p.batch, item, a.shape.labels), row);
}

template <class T, int NK, bool Argmin, class Forward, class Backward>
int launch(const SweepParameters<T>& p, cudaStream_t stream) {
  const size_t shared = kWarpsPerBlock * NK * kWarp * sizeof(T);
  const auto kernel = sweep_kernel<T, NK, Argmin, Forward, Backward>;
  MRF_LAUNCH(kernel, scanline_grid(p.geometry, p.batch), dim3(kWarpsPerBlock * kWarp), shared,
             stream, p);
  return static_cast<int>(cudaGetLastError());
}

template <class T, int NK, bool Argmin>
int launch_rule(const SweepParameters<T>& p, cudaStream_t stream) {
  switch (p.args.rule) {
    case cpu::SweepRule::SGM:
      return launch<T, NK, Argmin, SgmRule<T, NK>, SgmRule<T, NK>>(p, stream);
    case cpu::SweepRule::ISGMR:
      return launch<T, NK, Argmin, IsgmrForwardRule<T, NK>, IsgmrBackwardRule<T, NK>>(p, stream);
    case cpu::SweepRule::TRWP:
      break;
  }
  return launch<T, NK, Argmin, TrwpRule<T, NK>, TrwpRule<T, NK>>(p, stream);
}

template <class T, int NK>
int launch_width(const SweepParameters<T>& p, cudaStream_t stream) {
  if (p.args.forward_tape.argmin != nullptr) return launch_rule<T, NK, true>(p, stream);
  return launch_rule<T, NK, false>(p, stream);
}

}  // namespace

template <class T>
int sweep_pair(const cpu::SweepArgs<T>& args, const Batch& batch, Stream stream) {
  if (args.plan->kind == MinConvolutionKind::SoftTable) return soft_sweep_pair(args, batch, stream);
  if (args.plan->kind == MinConvolutionKind::Envelope)  // callers use Shift with a wide band
    return static_cast<int>(cudaErrorInvalidValue);
  if (args.shape.labels > kMostLabels<T>) return wide_sweep_pair(args, batch, stream);
  const SweepParameters<T> p{
      args, *args.plan, core::pair_geometry(args.pair, args.shape.height, args.shape.width), batch};
  if (args.plan->kind == MinConvolutionKind::Table)
    return table_sweep_pair(args, batch, table_sharing(core::scanlines(p.geometry) * batch.count),
                            stream);
  return with_labels_per_lane<T>(args.shape.labels, [&]<int NK>() {
    return launch_width<T, NK>(p, static_cast<cudaStream_t>(stream));
  });
}

}  // namespace mrfcore::cuda
