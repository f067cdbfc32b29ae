// SPDX-License-Identifier: Apache-2.0
// Lines of rows of more labels than a warp holds: one block per line, its row in shared memory.
// Same bits as lines.cu, bytes as there.
#include "lines.cuh"
#include "wide_row.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
class WideLine {
 public:
  __device__ __forceinline__ WideLine(const LineParameters<T>& parameters,
                                      const WideRows<T>& shared, int64_t of_item, int64_t index)
      : p_(parameters),
        rows_(shared),
        item_(of_item),
        line_(index),
        labels_count_(parameters.args.shape.labels) {}

  __device__ __forceinline__ void minimize() const {
    hand_on(0, [](int) { return T(0); });
    for (int64_t i = 1; i < p_.nodes; ++i) {
      __syncthreads();  // h is complete
      const WideConvolution<T, false> message(p_.plan, false, rows_, rows_.minimum(0).all(),
                                              p_.weight(item_, pixel(i - 1)));
      T* const out = message.out();
      Lowest<T> own = none();
      each_label(labels_count_, [&](int l) {
        out[l] = message.at(l).value;
        own.offer(out[l], l);
      });
      rows_.minimum(1).leave(own.value, own.label);
      __syncthreads();
      const T lowest = rows_.minimum(1).all().value;
      hand_on(i, [&](int l) { return out[l] - lowest; });
    }
    __syncthreads();  // states are there
    trace_back();
  }

 private:
  __device__ __forceinline__ Lowest<T> none() const {
    return {kForbidden<T> * T(64), labels_count_ - 1};
  }
  __device__ __forceinline__ int64_t pixel(int64_t node) const {
    return p_.y(line_, node) * p_.args.shape.width + p_.x(line_, node);
  }
  __device__ __forceinline__ T* state(int64_t at) const {
    return p_.args.states + item_ * p_.batch.volume + at * labels_count_;
  }
  __device__ __forceinline__ int32_t* labels() const {
    return p_.args.labels + item_ * p_.args.shape.pixels();
  }

  /// The state of a node: theta, edges off the line, and what came along it; and its minimum.
  template <class Came>
  __device__ __forceinline__ void hand_on(int64_t node, const Came& came) const {
    const int64_t y = p_.y(line_, node), x = p_.x(line_, node), at = pixel(node);
    const T* unary = p_.args.unary + item_ * p_.batch.volume + at * labels_count_;
    Lowest<T> own = none();
    each_label(labels_count_, [&](int l) {
      T h = __ldg(unary + l);
      for (int r = 0; r < p_.near.count; ++r) {
        if (!p_.fixed(r, y, x)) continue;
        const T w = p_.near.weight(of_item(p_.args.weights, item_, p_.batch.edge_weights), r, at);
        const int64_t from = existing_label(labels()[at + p_.near.offset(r)], labels_count_);
        const T* v = core::is_backward(r) ? p_.args.table : p_.args.table_t;
        h += w * __ldg(v + from * labels_count_ + l);
      }
      if (node > 0) h = h + came(l);
      rows_.value(0)[l] = h;
      state(at)[l] = h;
      own.offer(h, l);
    });
    rows_.minimum(0).leave(own.value, own.label);
  }

  /// Last node first; on ties the present label stays, or the lowest wins.
  __device__ __forceinline__ void trace_back() const {
    int32_t next = -1;
    for (int64_t i = p_.nodes - 1; i >= 0; --i) {
      const int64_t at = pixel(i);
      const T w = next >= 0 ? p_.weight(item_, at) : T(0);
      const T* v = p_.args.table_t + static_cast<int64_t>(next) * labels_count_;
      const auto cost = [&](int l) {
        return next >= 0 ? state(at)[l] + w * __ldg(v + l) : state(at)[l];
      };
      Lowest<T> own = none();
      each_label(labels_count_, [&](int l) { own.offer(cost(l), l); });
      const int32_t present = existing_label(labels()[at], labels_count_);
      const T here = cost(present);
      const auto best = rows_.minimum(static_cast<int>(i & 1));  // the other one is being read
      best.leave(own.value, own.label);
      __syncthreads();
      const Lowest<T> lowest = best.all();
      next = here == lowest.value ? present : lowest.label;
      if (threadIdx.x == 0) labels()[at] = next;
    }
  }

  const LineParameters<T>& p_;
  const WideRows<T>& rows_;
  const int64_t item_, line_;
  const int labels_count_;
};

template <class T>
__global__ void __launch_bounds__(kWideThreads, 1)
    wide_lines_kernel(const __grid_constant__ LineParameters<T> p) {
  MRF_SHARED(T, shared);
  const WideRows<T> rows{shared, p.args.shape.labels};
  WideLine<T>(p, rows, blockIdx.y, blockIdx.x).minimize();
}

}  // namespace

template <class T>
int wide_lines(const LineParameters<T>& p, Stream stream) {
  const dim3 grid(static_cast<unsigned>(p.lines), static_cast<unsigned>(p.batch.count));
  return launch_wide(wide_lines_kernel<T>, grid, WideRows<T>::bytes(p.args.shape.labels, 2, 0),
                     static_cast<cudaStream_t>(stream), p);
}

template int wide_lines<float>(const LineParameters<float>&, Stream);
template int wide_lines<double>(const LineParameters<double>&, Stream);

}  // namespace mrfcore::cuda
