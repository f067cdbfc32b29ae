// SPDX-License-Identifier: Apache-2.0
// The cost of an SGM iteration becomes the next one's unary (SgmSchedule::feed_back says why it is
// shared and limited), and the way back. A warp per pixel; a row is read twice, the second time
// from L1, and written once: 2 sizeof(T) bytes a label.
#include "kernels.hpp"
#include "ordered_sum.cuh"

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

/// Lowest value of a row and the lowest label that has it.
template <class T>
struct RowMinimum {
  T value;
  int label;

  __device__ __forceinline__ void offer(T other, int other_label) {
    if (other < value || (other == value && other_label < label)) {
      value = other;
      label = other_label;
    }
  }
};

template <class T>
__device__ __forceinline__ RowMinimum<T> row_minimum(const T* row, int labels) {
  RowMinimum<T> best{kForbidden<T> * T(64), labels - 1};
  for (int l = lane_index(); l < labels; l += kWarp) best.offer(row[l], l);
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    const T value = __shfl_xor_sync(kAllLanes, best.value, apart);
    best.offer(value, __shfl_xor_sync(kAllLanes, best.label, apart));
  }
  return best;
}

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    feed_back_kernel(const __grid_constant__ FeedBackParameters<T> p) {
  constexpr T kUnreachable = kForbidden<T> / T(64), kLimit = kUnreachable / T(64);
  const int64_t pixel = p.pixel();
  if (pixel >= p.pixels) return;
  const T* row = p.from + p.row(pixel);
  T* to = p.to + p.row(pixel);
  const RowMinimum<T> best = row_minimum(row, p.labels);
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
