// SPDX-License-Identifier: Apache-2.0
// The cost of an SGM iteration becomes the next one's unary (SgmSchedule::feed_back says why it is
// shared and limited), and the way back. A warp per pixel; a row is read twice, the second time
// from L1, and written once: 2 sizeof(T) bytes a label.
#include "kernels.hpp"
#include "ordered_sum.cuh"
#include "row_minimum.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarps = 8;

template <class T>
struct FeedBackParameters {
  int64_t pixels;
  int labels;
  const T* from;
  T share;
  T* to;
  void* minima;  ///< written on the way forth, read on the way back
  Batch batch;

  __device__ __forceinline__ int64_t pixel() const {
    return static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  }
  __device__ __forceinline__ int64_t row(int64_t pixel) const {
    return blockIdx.y * batch.volume + pixel * labels;
  }
  __device__ __forceinline__ int64_t tape(int64_t pixel) const {
    return blockIdx.y * batch.tape_minimum + pixel;
  }
  __device__ __forceinline__ bool wide() const { return labels > cpu::kByteLabels; }
};

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    feed_back_kernel(const __grid_constant__ FeedBackParameters<T> p) {
  constexpr T kUnreachable = kForbidden<T> / T(64), kLimit = kUnreachable / T(64);
  const int64_t pixel = p.pixel();
  if (pixel >= p.pixels) return;
  const T* row = p.from + p.row(pixel);
  T* to = p.to + p.row(pixel);
  RowMinimum<T> best(p.labels);
  for (int l = lane_index(); l < p.labels; l += kWarp) best.offer(row[l], l);
  best.reduce();
  for (int l = lane_index(); l < p.labels; l += kWarp) {
    const T cost = row[l];
    to[l] = cost < kUnreachable ? lower((cost - best.value) * p.share, kLimit) : kForbidden<T>;
  }
  if (p.minima == nullptr || lane_index() != 0) return;
  if (p.wide()) {
    static_cast<uint16_t*>(p.minima)[p.tape(pixel)] = static_cast<uint16_t>(best.label);
  } else {
    static_cast<uint8_t*>(p.minima)[p.tape(pixel)] = static_cast<uint8_t>(best.label);
  }
}

/// d/d cost(l) of (cost(l') - cost(best)) share, best being the label of the minimum.
template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    feed_back_adjoint_kernel(const __grid_constant__ FeedBackParameters<T> p) {
  const int64_t pixel = p.pixel();
  if (pixel >= p.pixels) return;
  const T* row = p.from + p.row(pixel);
  T* to = p.to + p.row(pixel);
  OrderedSum<T> sum;
  for (int first = 0; first < p.labels; first += kWarp) {
    const int l = first + lane_index();
    sum.add(l < p.labels ? row[l] * p.share : T(0));
  }
  const T total = sum.total();
  const int lowest = p.wide() ? static_cast<const uint16_t*>(p.minima)[p.tape(pixel)]
                              : static_cast<const uint8_t*>(p.minima)[p.tape(pixel)];
  for (int l = lane_index(); l < p.labels; l += kWarp) {
    const T g = row[l] * p.share;
    to[l] = l == lowest ? g - total : g;
  }
}

template <class T>
int launch(void (*kernel)(FeedBackParameters<T>), const FeedBackParameters<T>& p, Stream stream) {
  const dim3 grid(static_cast<unsigned>((p.pixels + kWarps - 1) / kWarps),
                  static_cast<unsigned>(p.batch.count));
  MRF_LAUNCH(kernel, grid, dim3(kWarps * kWarp), 0, static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

template <class T>
int feed_back(const cpu::GridShape& shape, const T* sum, T share, T* unary, void* minima,
              const Batch& batch, Stream stream) {
  return launch<T>(feed_back_kernel<T>,
                   {shape.pixels(), shape.labels, sum, share, unary, minima, batch}, stream);
}

template <class T>
int feed_back_adjoint(const cpu::GridShape& shape, const T* grad_unary, T share, const void* minima,
                      T* grad_sum, const Batch& batch, Stream stream) {
  return launch<T>(
      feed_back_adjoint_kernel<T>,
      {shape.pixels(), shape.labels, grad_unary, share, grad_sum, const_cast<void*>(minima), batch},
      stream);
}

#define MRF_INSTANTIATE(T)                                                                        \
  template int feed_back<T>(const cpu::GridShape&, const T*, T, T*, void*, const Batch&, Stream); \
  template int feed_back_adjoint<T>(const cpu::GridShape&, const T*, T, const void*, T*,          \
                                    const Batch&, Stream)
MRF_INSTANTIATE(float);
MRF_INSTANTIATE(double);
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
