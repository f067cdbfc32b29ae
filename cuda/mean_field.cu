// SPDX-License-Identifier: Apache-2.0
// A step of mean field, as cpp/cpu/mean_field.cpp: Q = softmax(-c), a warp per pixel, then
// c = theta + what the neighbours' beliefs make of V (neighbour_product.cu). The softmax reads a
// row three times, twice from L1, and computes each exponential twice rather than keep it: from and
// to memory, 2 sizeof(T) bytes a label; with the product, 5.
#include "core/exponential.hpp"
#include "kernels.hpp"
#include "neighbour_product.cuh"
#include "ordered_sum.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarps = 8;

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    softmax_kernel(const T* costs, T* beliefs, int64_t pixels, int labels, int64_t volume) {
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (pixel >= pixels) return;
  const int lane = lane_index();
  const int64_t at = blockIdx.y * volume + pixel * labels;
  const T* c = costs + at;
  T* q = beliefs + at;

  T lowest = c[lane < labels ? lane : 0];
  for (int l = lane + kWarp; l < labels; l += kWarp) lowest = lower(lowest, c[l]);
  lowest = warp_minimum(lowest);
  OrderedSum<T> sum;
  for (int first = 0; first < labels; first += kWarp) {
    const int l = first + lane;
    sum.add(l < labels ? core::exp_nonpositive(lowest - c[l]) : T(0));
  }
  const T inverse = T(1) / sum.total();
  for (int l = lane; l < labels; l += kWarp) q[l] = core::exp_nonpositive(lowest - c[l]) * inverse;
}

}  // namespace

template <class T>
int mean_field_step(const cpu::MeanFieldArgs<T>& args, const Batch& batch, Stream stream) {
  const int64_t pixels = args.shape.pixels();
  const dim3 grid(static_cast<unsigned>((pixels + kWarps - 1) / kWarps),
                  static_cast<unsigned>(batch.count));
  MRF_LAUNCH(softmax_kernel<T>, grid, dim3(kWarps * kWarp), 0, static_cast<cudaStream_t>(stream),
             args.costs, args.beliefs, pixels, args.shape.labels, batch.volume);
  if (const cudaError_t code = cudaGetLastError(); code != cudaSuccess)
    return static_cast<int>(code);
  return neighbour_product<T>({args.shape, args.weights, args.table, args.table_t, args.symmetric,
                               args.scale, args.beliefs, args.unary, args.costs},
                              batch, stream);
}

template int mean_field_step<float>(const cpu::MeanFieldArgs<float>&, const Batch&, Stream);
template int mean_field_step<double>(const cpu::MeanFieldArgs<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
