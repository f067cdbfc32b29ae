// SPDX-License-Identifier: Apache-2.0
// The sweep engine for tables of V: sweep.cuh with R scanlines of an item a warp, side by side, so
// that an element of V read from shared memory serves them all. Both ways of a pair in one launch.
//
// Bytes per message and label as in sweep.cuh. Instructions of a warp per 32 candidates
// h(m) + V(m, l), as nvcc 13.0 makes them for sm_90 (an addition and a minimum are 2; a weight is a
// multiplication more):
//
//   labels        R   V from            minima   and arg-mins (in the end, per 32 labels and row)
//   up to  64     4   shared memory       2.6     3.3 (20)
//   up to 128     4   shared memory       2.4     2.7 (40)
//   up to 256     2   L1 and L2           3.4     3.8 (40)
//   up to 512     1   L1 and L2           4.1     4.6 (40)
//
// A scanline a warp, at up to 64 labels: 3.5 and 3.9. In float; doubles have half as many rows, V
// in shared memory up to 64 labels, and four instructions for an addition and a minimum: 5.3
// and 6.2.
//
// R = 1 where scanlines are few: then R times as many warps keep the multiprocessors busy.
#pragma once

#include <type_traits>

#include "rules.cuh"
#include "scanlines.cuh"
#include "table_kernels.cuh"
#include "table_row.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
struct TableSweepParameters {
  cpu::SweepArgs<T> args;
  MinConvolutionPlan<T> plan;
  core::PairGeometry geometry;
  Batch batch;
};

/// Scanlines of a warp where they are side by side: as many as registers hold.
template <class T, int NK>
inline constexpr int kSideBySide = (NK <= 4 ? 4 : 16 / NK) * 4 / static_cast<int>(sizeof(T));

/// Whether V lies in shared memory: where that leaves room for three blocks on an H100.
template <class T, int NK>
inline constexpr bool kStaged = NK * NK * kWarp * kWarp * sizeof(T) <= 64 * 1024;

template <class T, int NK, int R>
struct TableLayout {
  static constexpr int kWidth = NK * kWarp;
  /// Elements of V, in front of the warps' rows. Its rows go on to the end of the last tile.
  static MRF_CORE int table(int labels) {
    return kStaged<T, NK> ? (labels + 7) / 8 * 8 * kWidth : 0;
  }
  static size_t bytes(int labels) {
    return (static_cast<size_t>(table(labels)) + kWarpsPerBlock * kWidth * R) * sizeof(T);
  }
};

/// What all scanlines of an item have in common, one way.
template <class T>
struct TableWay {
  const TableSweepParameters<T>& p;
  const T* edge_weights;
  const cpu::ArgminTape& argmins;
  int64_t item;
  bool backward;
};

/// The block copies V, as this way sees it, to shared memory; columns and rows beyond it are 0.
template <class T, int NK>
__device__ __forceinline__ void stage(const MinConvolutionPlan<T>& plan, const T* values,
                                      T* staged) {
  constexpr int kWidth = NK * kWarp;
  __syncthreads();  // the other way is done
  for (int i = static_cast<int>(threadIdx.x); i < TableLayout<T, NK, 1>::table(plan.labels);
       i += kWarpsPerBlock * kWarp) {
    const int m = i / kWidth, l = i % kWidth;
    staged[i] = m < plan.labels && l < plan.labels ? __ldg(values + m * plan.stride + l) : T(0);
  }
  __syncthreads();
}

/// R scanlines at their nodes i, one way. Scanlines that have ended wait for the others.
template <class T, int NK, int R, bool Argmin, class Rule, class Table>
struct TableWalk {
  using Row = WarpRow<T, NK>;
  /// Where a warp has much to do for a node, what the node needs arrives in the meantime. Where it
  /// has little, one has to ask a node earlier.
  static constexpr bool kAhead = R == 1;

  const TableWay<T>& way;
  const Rule& rule;
  const Table& v;
  Abreast<T, R>* shared;

  __device__ __forceinline__ void walk(const core::Scanline (&lines)[R]) const {
    const cpu::SweepArgs<T>& a = way.p.args;
    const int64_t step = way.backward ? -lines[0].node_stride : lines[0].node_stride;
    const WarpTape<NK> tape(way.argmins, way.p.batch, way.item, a.shape.labels);
    int64_t pixel[R], longest = 0;
    Row h[R] = {};
#pragma unroll
    for (int r = 0; r < R; ++r) {
      longest = lines[r].count > longest ? lines[r].count : longest;
      pixel[r] = way.backward ? lines[r].first + (lines[r].count - 1) * lines[r].node_stride
                              : lines[r].first;
      if (lines[r].count > 0) h[r] = head(pixel[r], tape);
    }
    typename Rule::Node node[R], next[R];
    T w[R], next_w[R];
    if (kAhead && longest > 1) read(pixel[0] + step, step, next[0], next_w[0]);
    for (int64_t i = 1; i < longest; ++i) {
#pragma unroll
      for (int r = 0; r < R; ++r) {
        pixel[r] += step;
        if constexpr (kAhead) {
          node[r] = next[r];
          w[r] = next_w[r];
          if (i + 1 < longest) read(pixel[r] + step, step, next[r], next_w[r]);
        } else {
          w[r] = T(1);
          if (i < lines[r].count) read(pixel[r], step, node[r], w[r]);
        }
      }
      Convolved<T, NK, Argmin> message[R];
      convolve(h, w, message);
#pragma unroll
      for (int r = 0; r < R; ++r) {
        if (i < lines[r].count) h[r] = arrive(pixel[r], node[r], message[r], tape);
      }
    }
  }

 private:
  __device__ __forceinline__ Row head(int64_t pixel, const WarpTape<NK>& tape) const {
    Row h = rule.head(pixel, rule.read(pixel));
    if constexpr (Argmin && Rule::kMinimumOfState) {
      forbid_padding(h, way.p.args.shape.labels);
      tape.keep_minimum(pixel, first_label(h, T(0)));
    }
    return h;
  }

  __device__ __forceinline__ void read(int64_t pixel, int64_t step, typename Rule::Node& node,
                                       T& w) const {
    node = rule.read(pixel);
    // The edge to the predecessor belongs to whichever comes first in the pair's even direction.
    T weight = T(1);
    if (way.edge_weights != nullptr)
      weight = __ldg(way.edge_weights + pixel + (way.backward ? 0 : -step));
    w = way.p.args.weights.scale * weight;
  }

  __device__ __forceinline__ void convolve(const Row (&h)[R], const T (&w)[R],
                                           Convolved<T, NK, Argmin> (&message)[R]) const {
    const int labels = way.p.plan.labels;
    __syncwarp();  // the last rows have been read by all lanes
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      Abreast<T, R> all;
      const bool exists = Row::label(k) < labels;
#pragma unroll
      for (int r = 0; r < R; ++r) all.row[r] = exists ? h[r].at[k] : kNever<T>;
      shared[Row::label(k)] = all;
    }
    __syncwarp();
    if (way.p.plan.unit_weight) {
      TableConvolution<T, NK, R, Argmin, true, Table>{v, shared, labels, w, message}.run();
    } else {
      TableConvolution<T, NK, R, Argmin, false, Table>{v, shared, labels, w, message}.run();
    }
  }

  __device__ __forceinline__ Row arrive(int64_t pixel, const typename Rule::Node& node,
                                        Convolved<T, NK, Argmin>& message,
                                        const WarpTape<NK>& tape) const {
    const int labels = way.p.args.shape.labels;
    forbid_padding(message.value, labels);
    const T lowest = Rule::kMinimumOfState ? T(0) : row_minimum(message.value);
    Row h = rule.node(pixel, node, message.value, lowest);
    if constexpr (Argmin) {
      forbid_padding(h, labels);
      tape.keep(pixel, message.from);
      tape.keep_minimum(pixel, first_label(Rule::kMinimumOfState ? h : message.value, lowest));
    }
    return h;
  }
};

template <class T, int NK, int R, bool Argmin, class Rule>
__device__ __forceinline__ void one_way(const TableWay<T>& way, const SweepMemory<T>& memory,
                                        const core::Scanline (&lines)[R], T* shared) {
  const MinConvolutionPlan<T>& plan = way.p.plan;
  const T* values = way.backward ? plan.table_t : plan.table;
  const Rule rule{memory};
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  Abreast<T, R>* const rows =
      reinterpret_cast<Abreast<T, R>*>(shared + TableLayout<T, NK, R>::table(plan.labels)) +
      warp * NK * kWarp;
  if constexpr (kStaged<T, NK>) {
    stage<T, NK>(plan, values, shared);
    const StagedTable<T, NK> v{shared + lane_index()};
    TableWalk<T, NK, R, Argmin, Rule, StagedTable<T, NK>>{way, rule, v, rows}.walk(lines);
  } else {
    const CachedTable<T, NK> v{values, plan.stride, plan.labels};
    TableWalk<T, NK, R, Argmin, Rule, CachedTable<T, NK>>{way, rule, v, rows}.walk(lines);
  }
}

template <class T, int NK, int R, bool Argmin, class Forward, class Backward>
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp)
    table_sweep_kernel(const __grid_constant__ TableSweepParameters<T> p) {
  MRF_SHARED(T, shared);
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarp;
  core::Scanline lines[R];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    lines[r] = core::scanline(p.geometry, warp * R + r);
    if (warp * R + r >= core::scanlines(p.geometry)) lines[r].count = 0;
  }
  const cpu::SweepArgs<T>& a = p.args;
  const int64_t item = blockIdx.y, at = item * p.batch.volume;
  const auto of_item = [at](auto* volume) { return volume == nullptr ? volume : volume + at; };
  const T* edge_weights =
      a.weights.per_edge == nullptr
          ? nullptr
          : a.weights.per_edge + item * p.batch.edge_weights + a.pair * a.shape.pixels();
  // As SweepMemory::of_item() makes it, through which nvcc 13.0 spills in one of these kernels.
  SweepMemory<T> m{a.shape.labels,
                   of_item(a.unary),
                   of_item(a.sum),
                   of_item(static_cast<T*>(a.forward)),
                   of_item(static_cast<T*>(a.backward)),
                   of_item(a.cavity),
                   a.head_row,
                   a.rho,
                   a.damping,
                   a.relative};
  // Rules that are the same both ways are one piece of code.
  constexpr bool kOneRule = std::is_same_v<Forward, Backward>;
#pragma unroll 1
  for (int i = 0; i < (kOneRule ? 2 : 1); ++i) {
    const TableWay<T> way{p, edge_weights, i == 0 ? a.forward_tape : a.backward_tape, item, i != 0};
    one_way<T, NK, R, Argmin, Forward>(way, m, lines, shared);
    T* const own = m.own;
    m.own = m.other;
    m.other = own;
  }
  if constexpr (!kOneRule) {
    const TableWay<T> way{p, edge_weights, a.backward_tape, item, true};
    one_way<T, NK, R, Argmin, Backward>(way, m, lines, shared);
  }
}

template <class T, int NK, int R, bool Argmin, class Forward, class Backward>
int launch(const TableSweepParameters<T>& p, cudaStream_t stream) {
  using Layout = TableLayout<T, NK, R>;
  const auto kernel = table_sweep_kernel<T, NK, R, Argmin, Forward, Backward>;
  // The same for any number of labels: callers in other threads want other sizes.
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(Layout::bytes(Layout::kWidth)));
  if (allowed != cudaSuccess) return forgotten(allowed);
  const int64_t a_block = kWarpsPerBlock * R;
  const dim3 grid(static_cast<unsigned>((core::scanlines(p.geometry) + a_block - 1) / a_block),
                  static_cast<unsigned>(p.batch.count));
  MRF_LAUNCH(kernel, grid, dim3(kWarpsPerBlock * kWarp), Layout::bytes(p.plan.labels), stream, p);
  return static_cast<int>(cudaGetLastError());
}

template <class T, int NK, int R, bool Argmin>
int launch_rule(const TableSweepParameters<T>& p, cudaStream_t stream) {
  switch (p.args.rule) {
    case cpu::SweepRule::SGM:
      return launch<T, NK, R, Argmin, SgmRule<T, NK>, SgmRule<T, NK>>(p, stream);
    case cpu::SweepRule::ISGMR:
      return launch<T, NK, R, Argmin, IsgmrForwardRule<T, NK>, IsgmrBackwardRule<T, NK>>(p, stream);
    case cpu::SweepRule::TRWP:
      break;
  }
  return launch<T, NK, R, Argmin, TrwpRule<T, NK>, TrwpRule<T, NK>>(p, stream);
}

template <class T, int NK, int R>
int launch_rows(const TableSweepParameters<T>& p, cudaStream_t stream) {
  if (p.args.forward_tape.argmin != nullptr) return launch_rule<T, NK, R, true>(p, stream);
  return launch_rule<T, NK, R, false>(p, stream);
}

}  // namespace

template <class T>
int table_sweep_pair(const cpu::SweepArgs<T>& args, const Batch& batch, TableSharing sharing,
                     Stream stream) {
  const TableSweepParameters<T> p{
      args, *args.plan, core::pair_geometry(args.pair, args.shape.height, args.shape.width), batch};
  return with_labels_per_lane<T>(args.shape.labels, [&]<int NK>() {
    const auto on = static_cast<cudaStream_t>(stream);
    if (sharing == TableSharing::kSideBySide) return launch_rows<T, NK, kSideBySide<T, NK>>(p, on);
    return launch_rows<T, NK, 1>(p, on);
  });
}

}  // namespace mrfcore::cuda
