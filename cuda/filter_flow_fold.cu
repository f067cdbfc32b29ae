// SPDX-License-Identifier: Apache-2.0
// What transposed filters of a padded image left in its margin goes to the pixels that the margin
// repeats: a thread per pixel and channel adds up all that stands for it, row by row, its own
// column before the margin's, as cpp/cpu/padded_image.hpp does: the same bits.
//
// Bytes a pixel and channel: 8, and some for the margin. Pixels of a border add up to k / 2 + 1
// numbers each, corners their square: with 16 x 16 words of k = 31 these few end last.
#include "flow_patch.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
struct FoldParameters {
  FlowSize size;
  FlowPadding padding;
  const T* landing;
  T* out;
  int64_t pixels;
};

/// Calls f for every position, margins included, at which pixel i stands: in order, or its own
/// before the others.
template <class Body>
__device__ __forceinline__ void for_each_copy(int i, int size, int side, FlowPadding padding,
                                              bool own_first, const Body& f) {
  const int low = before(side), high = side / 2;
  const bool border = i <= low || i >= size - 1 - high;
  if (own_first) f(i);
  if (border) {
    for (int j = -low; j < 0; ++j)
      if (source_of(j, size, padding) == i) f(j);
  }
  if (!own_first) f(i);
  if (border) {
    for (int j = size; j < size + high; ++j)
      if (source_of(j, size, padding) == i) f(j);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    fold_kernel(const __grid_constant__ FoldParameters<T> p) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= p.pixels) return;
  const FlowSize& q = p.size;
  const int64_t row_index = at / q.width, plane = row_index / q.height;
  const auto x = static_cast<int>(at % q.width), y = static_cast<int>(row_index % q.height);
  const int64_t columns = q.width + q.side - 1, rows = q.height + q.side - 1;
  const int reach = before(q.side);
  const T* landing = p.landing + plane * rows * columns;
  T sum = T(0);
  for_each_copy(y, q.height, q.side, p.padding, false, [&](int row) {
    const T* from = landing + (row + reach) * columns + reach;
    for_each_copy(x, q.width, q.side, p.padding, true, [&](int column) { sum += from[column]; });
  });
  p.out[at] = sum;
}

}  // namespace

namespace kernels {

template <class T>
int fold_landing(const FilterFlowProblem& problem, const T* landing, T* out, void* stream) {
  const int64_t pixels = problem.batch * problem.channels * problem.height * problem.width;
  const int64_t blocks = (pixels + kThreads - 1) / kThreads;
  if (blocks > INT32_MAX) return static_cast<int>(cudaErrorInvalidValue);
  MRF_LAUNCH(fold_kernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
             static_cast<cudaStream_t>(stream),
             FoldParameters<T>{FlowSize::of(problem), problem.padding, landing, out, pixels});
  return static_cast<int>(cudaGetLastError());
}

template int fold_landing<float>(const FilterFlowProblem&, const float*, float*, void*);
template int fold_landing<double>(const FilterFlowProblem&, const double*, double*, void*);

}  // namespace kernels
}  // namespace mrfcore::cuda
