// SPDX-License-Identifier: Apache-2.0
// Exact minima of scanlines for rows of more labels than a warp holds: one block per scanline, its
// row in shared memory. Same bits as chain_bound.cu.
//
// Bytes as there. Up to 14516 labels where a block can have 227 KiB of shared memory (sm_90).
#include "chain_bound.cuh"
#include "wide_row.cuh"

namespace mrfcore::cuda {
namespace {

template <class T>
class WideChain {
 public:
  __device__ __forceinline__ WideChain(const BoundParameters<T>& parameters,
                                       const WideRows<double>& shared, int64_t of_item)
      : p(parameters), rows(shared), item(of_item), labels(parameters.shape.labels) {}

  /// Adds up what was subtracted on the way, and the minimum over the last node.
  __device__ __forceinline__ double minimum(const core::Scanline& line) const {
    int64_t pixel = line.first;
    hand_on(pixel, [](int) { return 0.0; });
    double total = 0.0, lowest = 0.0;
    for (int64_t i = 1; i < line.count; ++i) {
      __syncthreads();  // h is complete
      const WideConvolution<double, false> message(p.plan, false, rows, rows.minimum(0).all(),
                                                   p.weight(item, pixel));
      double* const out = message.out();
      Lowest<double> own = none();
      each_label(labels, [&](int l) {
        out[l] = message.at(l).value;
        own.offer(out[l], l);
      });
      rows.minimum(1).leave(own.value, own.label);
      __syncthreads();
      total += lowest;
      lowest = rows.minimum(1).all().value;
      pixel += line.node_stride;
      hand_on(pixel, [&](int l) { return out[l] - lowest; });
    }
    __syncthreads();
    return total + (lowest + rows.minimum(0).all().value);
  }

 private:
  /// More than any sum of path costs, as on the CPU.
  __device__ __forceinline__ Lowest<double> none() const {
    return {static_cast<double>(kForbidden<T>) * 64.0, labels - 1};
  }

  /// h = rho (theta + all messages) - messages of this pair + what came, and its minimum.
  template <class Came>
  __device__ __forceinline__ void hand_on(int64_t pixel, const Came& came) const {
    const int64_t first = item * p.batch.volume + pixel * labels;
    Lowest<double> own = none();
    each_label(labels, [&](int l) {
      const auto read = [&](const T* volume) {
        return static_cast<double>(__ldg(volume + first + l));
      };
      double all = read(p.unary), pair = 0.0;
      for (int r = 0; r < p.directions; ++r) all += read(p.messages[r]);
      if (p.directions > 0) pair = read(p.messages[2 * p.pair]) + read(p.messages[2 * p.pair + 1]);
      const double h = p.rho * all - pair + came(l);
      rows.value(0)[l] = h;
      own.offer(h, l);
    });
    rows.minimum(0).leave(own.value, own.label);
  }

  const BoundParameters<T>& p;
  const WideRows<double>& rows;
  const int64_t item;
  const int labels;
};

template <class T>
__global__ void __launch_bounds__(kWideThreads, 1)
    wide_chain_bound_kernel(const __grid_constant__ BoundParameters<T> p) {
  MRF_SHARED(double, shared);
  const int64_t index = blockIdx.x, item = blockIdx.y;
  const core::Scanline line = core::scanline(p.geometry, index);
  double minimum = 0.0;
  if (line.count > 0) {
    const WideRows<double> rows{shared, p.shape.labels};
    minimum = WideChain<T>(p, rows, item).minimum(line);
  }
  if (threadIdx.x == 0) p.minimum[item * core::scanlines(p.geometry) + index] = minimum;
}

}  // namespace

template <class T>
int wide_chain_bound(const BoundParameters<T>& p, Stream stream) {
  const dim3 grid(static_cast<unsigned>(core::scanlines(p.geometry)),
                  static_cast<unsigned>(p.batch.count));
  return launch_wide(wide_chain_bound_kernel<T>, grid,
                     WideRows<double>::bytes(p.shape.labels, 2, 0),
                     static_cast<cudaStream_t>(stream), p);
}

template int wide_chain_bound<float>(const BoundParameters<float>&, Stream);
template int wide_chain_bound<double>(const BoundParameters<double>&, Stream);

}  // namespace mrfcore::cuda
