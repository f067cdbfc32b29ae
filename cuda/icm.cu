// SPDX-License-Identifier: Apache-2.0
// Iterated conditional modes, as cpp/cpu/icm.cpp: one launch per colour, whose nodes share no edge;
// a warp per pixel, lanes along its labels.
//
// Per pixel and label: sizeof(T) bytes of unary once, and D entries of V, from L1 or L2 (the rows
// of the neighbours' labels), with a product and a sum each.
#include "kernels.hpp"
#include "neighbours.cuh"
#include "row_minimum.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarps = 8;

/// Pixels y = y0, y0 + y_step, ..., x likewise; if checkered, x0 changes from row to row.
struct Lattice {
  int64_t y0, y_step, x0, x_step;
  bool checkered;

  int64_t rows(const cpu::GridShape& s) const { return (s.height - y0 + y_step - 1) / y_step; }
  int64_t columns(const cpu::GridShape& s) const {
    return (s.width - (checkered ? 0 : x0) + x_step - 1) / x_step;
  }
};

constexpr Lattice kAllPixels{0, 1, 0, 1, false};

/// Colours needed: checkerboard for 4 neighbours, 2 x 2 blocks for 8, 3 x 3 for 16.
int colours(int connectivity) { return connectivity == 4 ? 2 : (connectivity == 8 ? 4 : 9); }

Lattice lattice(int connectivity, int colour) {
  if (connectivity == 4) return {0, 1, colour, 2, true};
  const int block = connectivity == 8 ? 2 : 3;
  return {colour / block, block, colour % block, block, false};
}

template <class T>
struct IcmParameters {
  cpu::IcmArgs<T> args;
  Batch batch;
  Neighbourhood near;
  Lattice lattice;
  int64_t columns;
  int64_t count;  ///< pixels
};

/// Labels to begin with may be the caller's, whom nobody has checked: no look outside V.
__device__ __forceinline__ int32_t existing(int32_t label, int labels) {
  return label < 0 ? 0 : (label < labels ? label : labels - 1);
}

/// Lane r knows about the neighbour in direction r. One outside the image gets weight 0 and any
/// label: what it adds to a cost, 0 times V, does not change it.
template <class T>
class ConditionedCosts {
 public:
  __device__ __forceinline__ ConditionedCosts(const IcmParameters<T>& parameters, int64_t y,
                                              int64_t x, int64_t pixel, const int32_t* labels)
      : p_(parameters), weight_(T(0)), label_(0) {
    const cpu::IcmArgs<T>& a = p_.args;
    const int64_t item = blockIdx.y;
    unary_ = a.unary + item * p_.batch.volume + pixel * a.shape.labels;
    const int r = lane_index();
    if (r >= p_.near.count || !p_.near.inside(r, y, x)) return;
    weight_ = p_.near.weight(of_item(a.weights, item, p_.batch.edge_weights), r, pixel);
    label_ = existing(labels[pixel + p_.near.offset(r)], a.shape.labels);
  }

  /// Theta and the edges' costs, r ascending. For all lanes at once; l may be beyond the last
  /// label.
  __device__ __forceinline__ T operator()(int l) const {
    const int64_t labels = p_.args.shape.labels;
    const int64_t column = l < labels ? l : labels - 1;
    T cost = unary_[column];
#pragma unroll 4
    for (int r = 0; r < p_.near.count; ++r) {
      const T w = __shfl_sync(kAllLanes, weight_, r);
      const int64_t row = __shfl_sync(kAllLanes, label_, r);
      // Backward neighbours own the edge and come first in V; forward ones come second.
      const T* v = core::is_backward(r) ? p_.args.table : p_.args.table_t;
      cost += w * __ldg(v + row * labels + column);
    }
    return cost;
  }

 private:
  const IcmParameters<T>& p_;
  const T* unary_;
  T weight_;
  int32_t label_;
};

/// Stays put on ties with the present label: moving could cycle for ever.
template <class T>
__device__ __forceinline__ void move(const ConditionedCosts<T>& costs, int labels, int32_t* label) {
  const int32_t present = existing(*label, labels);
  RowMinimum<T> best(labels);
  T here = T(0);  // in lane present % 32
  for (int first = 0; first < labels; first += kWarp) {
    const int l = first + lane_index();
    const T cost = costs(l);
    if (l < labels) best.offer(cost, l);
    if (l == present) here = cost;
  }
  best.reduce();
  here = __shfl_sync(kAllLanes, here, present & (kWarp - 1));
  __syncwarp();  // all lanes have read the label
  if (lane_index() == 0) *label = here != best.value ? best.label : present;
}

template <class T>
__device__ __forceinline__ void report(const ConditionedCosts<T>& costs, int labels, T* to) {
  for (int first = 0; first < labels; first += kWarp) {
    const int l = first + lane_index();
    const T cost = costs(l);
    if (l < labels) to[l] = cpu::cost_for_caller(cost);
  }
}

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    icm_kernel(const __grid_constant__ IcmParameters<T> p) {
  const cpu::GridShape& s = p.args.shape;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (index >= p.count) return;
  const int64_t y = p.lattice.y0 + index / p.columns * p.lattice.y_step;
  const int64_t x0 = p.lattice.checkered ? (y + p.lattice.x0) & 1 : p.lattice.x0;
  const int64_t x = x0 + index % p.columns * p.lattice.x_step;
  if (x >= s.width) return;
  const int64_t pixel = y * s.width + x, item = blockIdx.y;
  int32_t* const labels = p.args.labels + item * s.pixels();
  const ConditionedCosts<T> costs(p, y, x, pixel, labels);
  if (p.args.costs != nullptr) {
    report(costs, s.labels, p.args.costs + item * p.batch.volume + pixel * s.labels);
  } else {
    move(costs, s.labels, labels + pixel);
  }
}

template <class T>
int launch(const cpu::IcmArgs<T>& args, const Batch& batch, const Lattice& pixels, Stream stream) {
  const int64_t rows = pixels.rows(args.shape), columns = pixels.columns(args.shape);
  if (rows <= 0 || columns <= 0) return 0;  // a colour without pixels
  const IcmParameters<T> p{args, batch, Neighbourhood(args.shape), pixels, columns, rows * columns};
  const dim3 grid(static_cast<unsigned>((p.count + kWarps - 1) / kWarps),
                  static_cast<unsigned>(batch.count));
  MRF_LAUNCH(icm_kernel<T>, grid, dim3(kWarps * kWarp), 0, static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

template <class T>
int icm_sweep(const cpu::IcmArgs<T>& args, const Batch& batch, Stream stream) {
  if (args.costs != nullptr) return launch(args, batch, kAllPixels, stream);
  const int connectivity = args.shape.connectivity;
  for (int colour = 0; colour < colours(connectivity); ++colour) {
    const int code = launch(args, batch, lattice(connectivity, colour), stream);
    if (code != 0) return code;
  }
  return 0;
}

template int icm_sweep<float>(const cpu::IcmArgs<float>&, const Batch&, Stream);
template int icm_sweep<double>(const cpu::IcmArgs<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
