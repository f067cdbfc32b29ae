// SPDX-License-Identifier: Apache-2.0
// A TRW-S pass for rows of more labels than a warp holds: a block walks along an image row, its row
// of labels in shared memory, and sends its messages one after the other. Same bits as trws.cu.
//
// Bytes as there. Up to 19360 labels in float and 9677 in double where a block can have 227 KiB of
// shared memory (sm_90).
#include "signal.cuh"
#include "trws_pass.cuh"
#include "wide_row.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
class WideTrwsRow {
 public:
  __device__ __forceinline__ WideTrwsRow(const TrwsParameters<T>& parameters,
                                         const WideRows<T>& shared, const RowTicket& ticket)
      : p(parameters),
        rows(shared),
        sum(shared.value(2)),
        item(ticket.item),
        k(ticket.row),
        y(p.backward ? p.shape.height - 1 - k : k),
        done(p.progress + item * (p.shape.height + 1) + k) {}

  __device__ __forceinline__ void walk() {
    const int width = static_cast<int>(p.shape.width);
    for (int x = 0; x < width; ++x) {
      if (threadIdx.x == 0 && k > 0) {
        const int needed = x + p.lead < width ? x + p.lead : width;
        while (observe(done - 1) < needed) pause();
      }
      __syncthreads();  // the row before is far enough
      node(p.backward ? width - 1 - x : x);
      __syncthreads();  // messages are written
      if (threadIdx.x == 0) publish(done, x + 1);
    }
    if (threadIdx.x == 0 && p.row_bound != nullptr)
      p.row_bound[item * p.shape.height + y] = bound.total();
  }

 private:
  __device__ __forceinline__ Lowest<T> none() const {
    return {kForbidden<T> * T(64), p.shape.labels - 1};
  }
  __device__ __forceinline__ T* message(int r, int64_t pixel) const {
    return p.messages[r] + item * p.batch.volume + pixel * p.shape.labels;
  }

  /// Eq 2.43-2.44.
  __device__ __forceinline__ void node(int64_t x) {
    const int64_t pixel = y * p.shape.width + x;
    const T constant = add_up(pixel);
    bound.begin(static_cast<double>(constant));
    for (int r = p.backward ? 1 : 0; r < p.shape.connectivity; r += 2) {
      const int64_t to_y = y + p.directions[r].dy, to_x = x + p.directions[r].dx;
      const bool inside = to_y >= 0 && to_y < p.shape.height && to_x >= 0 && to_x < p.shape.width;
      if (!inside) continue;
      bound.add(static_cast<double>(send(r, pixel, to_y * p.shape.width + to_x, constant)));
    }
    bound.end();
  }

  /// theta + messages, from behind, then from ahead; what the backward pass takes out of it.
  __device__ __forceinline__ T add_up(int64_t pixel) const {
    const T* unary = p.unary + item * p.batch.volume + pixel * p.shape.labels;
    Lowest<T> own = none();
    each_label(p.shape.labels, [&](int l) {
      T s = __ldg(unary + l);
      for (int r = 0; r < p.shape.connectivity; r += 2) s = s + __ldcg(message(r, pixel) + l);
      for (int r = 1; r < p.shape.connectivity; r += 2) s = s + __ldcg(message(r, pixel) + l);
      sum[l] = s;
      own.offer(s, l);
    });
    if (!p.backward) return T(0);
    rows.minimum(1).leave(own.value, own.label);
    __syncthreads();
    return rows.minimum(1).all().value;
  }

  /// The message of direction r to pixel `to`; returns what was subtracted.
  __device__ __forceinline__ T send(int r, int64_t pixel, int64_t to, T constant) const {
    const T* reverse = message(core::opposite(r), pixel);
    Lowest<T> own = none();
    each_label(p.shape.labels, [&](int l) {
      const T b = p.backward ? sum[l] - constant : sum[l];
      const T h = p.gamma * b - __ldcg(reverse + l);
      rows.value(0)[l] = h;
      own.offer(h, l);
    });
    rows.minimum(0).leave(own.value, own.label);
    __syncthreads();  // h is complete
    const WideConvolution<T, false> sent(p.plan, p.backward, rows, rows.minimum(0).all(),
                                         weight(r, p.backward ? to : pixel));
    T* const out = sent.out();
    own = none();
    each_label(p.shape.labels, [&](int l) {
      out[l] = sent.at(l).value;
      own.offer(out[l], l);
    });
    rows.minimum(1).leave(own.value, own.label);
    __syncthreads();
    const T lowest = rows.minimum(1).all().value;
    T* const written = message(r, to);
    each_label(p.shape.labels, [&](int l) { written[l] = out[l] - lowest; });
    return lowest;
  }

  __device__ __forceinline__ T weight(int r, int64_t owner) const {
    if (p.weights.per_edge == nullptr) return p.weights.scale;
    return p.weights.scale * __ldg(p.weights.per_edge + item * p.batch.edge_weights +
                                   core::pair_of(r) * p.shape.pixels() + owner);
  }

  const TrwsParameters<T>& p;
  const WideRows<T>& rows;
  T* const sum;
  const int64_t item, k, y;
  int* const done;  ///< nodes of this row that are done
  TrwsBound bound;
};

template <class T>
__global__ void __launch_bounds__(kWideThreads, 1)
    wide_trws_kernel(const __grid_constant__ TrwsParameters<T> p) {
  MRF_SHARED(T, shared);
  const WideRows<T> rows{shared, p.shape.labels};
  int* const ticket = rows.minimum(0).labels;
  if (threadIdx.x == 0) *ticket = atomicAdd(p.progress + p.shape.height, 1);
  __syncthreads();
  const RowTicket mine(*ticket, p.batch.count);
  __syncthreads();
  WideTrwsRow<T>(p, rows, mine).walk();
}

}  // namespace

template <class T>
int wide_trws_pass(const TrwsParameters<T>& p, Stream stream) {
  const dim3 grid(static_cast<unsigned>(p.shape.height * p.batch.count));
  return launch_wide(wide_trws_kernel<T>, grid, WideRows<T>::bytes(p.shape.labels, 3, 0),
                     static_cast<cudaStream_t>(stream), p);
}

template int wide_trws_pass<float>(const TrwsParameters<float>&, Stream);
template int wide_trws_pass<double>(const TrwsParameters<double>&, Stream);

}  // namespace mrfcore::cuda
