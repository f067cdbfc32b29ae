// SPDX-License-Identifier: Apache-2.0
// The adjoint of a step of mean field, as cpp/cpu/mean_field_adjoint.cpp. The gradient of Q is the
// step's product with the roles of V's arguments exchanged (neighbour_product.cu); it passes
// through grad_before to the softmax's adjoint, which needs whole rows: 2 rows written and read for
// having no limit on labels. Then 6 sizeof(T) bytes a label, from and to memory.
#include "kernels.hpp"
#include "mean_field_gradients.cuh"
#include "neighbour_product.cuh"
#include "ordered_sum.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarps = 8;

template <class T>
struct SoftmaxAdjoint {
  const T* beliefs;
  const T* grad_costs;
  T* grad_before;  ///< holds the gradient of Q
  T* grad_unary;
  int64_t pixels;
  int labels;
  int64_t volume;
};

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    softmax_adjoint_kernel(const __grid_constant__ SoftmaxAdjoint<T> a) {
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (pixel >= a.pixels) return;
  const int64_t at = blockIdx.y * a.volume + pixel * a.labels;
  const T* q = a.beliefs + at;
  T* g = a.grad_before + at;
  OrderedSum<T> sum;
  for (int first = 0; first < a.labels; first += kWarp) {
    const int l = first + lane_index();
    sum.add(l < a.labels ? q[l] * g[l] : T(0));
  }
  const T mean = sum.total();
  for (int l = lane_index(); l < a.labels; l += kWarp) {
    g[l] = q[l] * (mean - g[l]);
    a.grad_unary[at + l] += a.grad_costs[at + l];
  }
}

template <class T>
int softmax_adjoint(const cpu::MeanFieldAdjointArgs<T>& args, const Batch& batch, Stream stream) {
  const SoftmaxAdjoint<T> a{args.beliefs,    args.grad_costs,     args.grad_before,
                            args.grad_unary, args.shape.pixels(), args.shape.labels,
                            batch.volume};
  const dim3 grid(static_cast<unsigned>((a.pixels + kWarps - 1) / kWarps),
                  static_cast<unsigned>(batch.count));
  MRF_LAUNCH(softmax_adjoint_kernel<T>, grid, dim3(kWarps * kWarp), 0,
             static_cast<cudaStream_t>(stream), a);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace

template <class T>
int mean_field_adjoint(const cpu::MeanFieldAdjointArgs<T>& args, const Batch& batch,
                       Stream stream) {
  // Owners come first: their c took V(owner, x_i), so Q_i is the second argument, and vice versa.
  int code = neighbour_product<T>({args.shape, args.weights, args.table, args.table_t, false,
                                   args.scale, args.grad_costs, nullptr, args.grad_before},
                                  batch, stream);
  if (code == 0) code = softmax_adjoint(args, batch, stream);
  if (code == 0 && args.gradient.per_edge != nullptr) code = mean_field_edges(args, batch, stream);
  if (code == 0 && args.gradient.values != nullptr) code = mean_field_table(args, batch, stream);
  return code;
}

template int mean_field_adjoint<float>(const cpu::MeanFieldAdjointArgs<float>&, const Batch&,
                                       Stream);
template int mean_field_adjoint<double>(const cpu::MeanFieldAdjointArgs<double>&, const Batch&,
                                        Stream);

}  // namespace mrfcore::cuda
