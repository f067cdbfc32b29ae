// SPDX-License-Identifier: Apache-2.0
// Labels of whole rows or columns minimised while all others stay: cpp/cpu/minimize_lines.cpp,
// expression by expression, one launch per colour, one warp per line.
//
// Per label and node: a unary is read, a state written and read again (12 bytes in float), D - 2
// rows of V come from cache; the operations are those of the min-convolution and 2 D. Half (with 16
// connections a third) of the lines run side by side, so what limits is the chain of steps along
// one of them.
#include "lines.cuh"

#include "convolve.cuh"
#include "rules.cuh"
#include "scanlines.cuh"

namespace mrfcore::cuda {
namespace {

template <class T, int NK>
class Line {
  using Row = WarpRow<T, NK>;

 public:
  __device__ __forceinline__ Line(const LineParameters<T>& parameters, int64_t of_item,
                                  int64_t index)
      : p_(parameters), item_(of_item), line_(index), labels_count_(parameters.args.shape.labels) {}

  __device__ __forceinline__ void minimize(T* shared_row) const {
    Row h = conditioned(0);
    write_row(states(), pixel(0), labels_count_, h);
    for (int64_t i = 1; i < p_.nodes; ++i) {
      forbid_padding(h, labels_count_);
      Convolved<T, NK, false> message;
      convolve(p_.plan, false, h, row_minimum(h), p_.weight(item_, pixel(i - 1)), shared_row,
               message);
      forbid_padding(message.value, labels_count_);
      const T lowest = row_minimum(message.value);
      h = conditioned(i);
#pragma unroll
      for (int k = 0; k < NK; ++k) h.at[k] = h.at[k] + (message.value.at[k] - lowest);
      write_row(states(), pixel(i), labels_count_, h);
    }
    trace_back();
  }

 private:
  __device__ __forceinline__ int64_t pixel(int64_t node) const {
    return p_.y(line_, node) * p_.args.shape.width + p_.x(line_, node);
  }
  __device__ __forceinline__ T* states() const { return p_.args.states + item_ * p_.batch.volume; }
  __device__ __forceinline__ int32_t* labels() const {
    return p_.args.labels + item_ * p_.args.shape.pixels();
  }

  /// Theta and the costs of the edges off the line, r ascending. Lane r knows about the neighbour
  /// in direction r.
  __device__ __forceinline__ Row conditioned(int64_t node) const {
    const int64_t y = p_.y(line_, node), x = p_.x(line_, node), at = pixel(node);
    Row row = read_row<T, NK>(p_.args.unary + item_ * p_.batch.volume, at, labels_count_);
    const int r = lane_index();
    const bool mine = r < p_.near.count && p_.fixed(r, y, x);
    T weight = T(0);
    int32_t label = 0;
    if (mine) {
      weight = p_.near.weight(of_item(p_.args.weights, item_, p_.batch.edge_weights), r, at);
      label = existing_label(labels()[at + p_.near.offset(r)], labels_count_);
    }
    const unsigned fixed = __ballot_sync(kAllLanes, mine);
    for (int d = 0; d < p_.near.count; ++d) {
      const T w = __shfl_sync(kAllLanes, weight, d);
      const int64_t from = __shfl_sync(kAllLanes, label, d);
      if ((fixed >> d & 1U) == 0) continue;
      // Backward neighbours own the edge and come first in V; forward ones come second.
      const T* v = core::is_backward(d) ? p_.args.table : p_.args.table_t;
      add(row, w, v + from * labels_count_);
    }
    return row;
  }
  __device__ __forceinline__ void add(Row& row, T w, const T* v) const {
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      if (Row::label(k) < labels_count_) row.at[k] += w * __ldg(v + Row::label(k));
    }
  }

  /// Last node first; on ties the present label stays, or the lowest wins.
  __device__ __forceinline__ void trace_back() const {
    int32_t next = -1;
    for (int64_t i = p_.nodes - 1; i >= 0; --i) {
      const int64_t at = pixel(i);
      Row costs = read_row<T, NK>(states(), at, labels_count_);
      if (next >= 0) {
        add(costs, p_.weight(item_, at),
            p_.args.table_t + static_cast<int64_t>(next) * labels_count_);
      }
      forbid_padding(costs, labels_count_);
      const int32_t present = existing_label(labels()[at], labels_count_);
      const T lowest = row_minimum(costs);
      next = at_label(costs, present) == lowest ? present : first_label(costs, lowest);
      __syncwarp();  // all lanes have read the label
      if (lane_index() == 0) labels()[at] = next;
    }
  }
  __device__ __forceinline__ T at_label(const Row& row, int32_t label) const {
    T here = row.at[0];
#pragma unroll
    for (int k = 1; k < NK; ++k) here = label / kWarp == k ? row.at[k] : here;
    return __shfl_sync(kAllLanes, here, label % kWarp);
  }

  const LineParameters<T>& p_;
  const int64_t item_, line_;
  const int labels_count_;
};

template <class T, int NK>
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp, 1)
    lines_kernel(const __grid_constant__ LineParameters<T> p) {
  MRF_SHARED(T, shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp;
  if (index >= p.lines) return;
  Line<T, NK>(p, blockIdx.y, index).minimize(shared + warp * NK * kWarp);
}

template <class T>
int launch(const LineParameters<T>& p, Stream stream) {
  if (p.lines <= 0) return 0;  // a colour without lines
  if (p.args.shape.labels > kMostLabels<T>) return wide_lines(p, stream);
  return with_labels_per_lane<T>(p.args.shape.labels, [&]<int NK>() {
    const size_t bytes = kWarpsPerBlock * NK * kWarp * sizeof(T);
    const auto kernel = lines_kernel<T, NK>;
    const dim3 grid(static_cast<unsigned>((p.lines + kWarpsPerBlock - 1) / kWarpsPerBlock),
                    static_cast<unsigned>(p.batch.count));
    MRF_LAUNCH(kernel, grid, dim3(kWarpsPerBlock * kWarp), bytes, static_cast<cudaStream_t>(stream),
               p);
    return static_cast<int>(cudaGetLastError());
  });
}

}  // namespace

template <class T>
int minimize_lines(const cpu::LineArgs<T>& args, const Batch& batch, Stream stream) {
  if (!has_hard_kernel(args.plan->kind)) return static_cast<int>(cudaErrorInvalidValue);
  for (int colour = 0; colour < cpu::line_colours(args.shape.connectivity); ++colour) {
    const int code = launch(LineParameters<T>(args, batch, colour), stream);
    if (code != 0) return code;
  }
  return 0;
}

template int minimize_lines<float>(const cpu::LineArgs<float>&, const Batch&, Stream);
template int minimize_lines<double>(const cpu::LineArgs<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
