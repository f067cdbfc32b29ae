// SPDX-License-Identifier: Apache-2.0
// Costs c = theta + sum of messages in canonical order (Eq 3.7) and their arg-min, lowest label on
// ties (Eq 3.8): one warp per pixel. Bytes per label: 4 (1 + messages), and 4 for each volume that
// is written.
#include "core/directions.hpp"
#include "kernels.hpp"
#include "rules.cuh"

namespace mrfcore::cuda {
namespace {

constexpr int kWarpsPerBlock = 8;

template <class T>
struct GatherParameters {
  cpu::GatherArgs<T> args;
  const T* messages[core::kMaxDirections];
  int64_t pixels;
  Batch batch;
  const int32_t* bad;
};

template <class T>
__device__ __forceinline__ T not_a_number() {
  return cpu::kInfinity<T> - cpu::kInfinity<T>;
}

template <class T>
__device__ __forceinline__ void better(T& value, int& label, T other, int other_label) {
  if (other < value || (other == value && other_label < label)) {
    value = other;
    label = other_label;
  }
}

template <class T>
__global__ void __launch_bounds__(kWarpsPerBlock* kWarp)
    gather_kernel(const __grid_constant__ GatherParameters<T> p) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = lane_index();
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp;
  if (pixel >= p.pixels) return;
  const cpu::GatherArgs<T>& a = p.args;
  const int labels = a.shape.labels;
  const int64_t item = blockIdx.y, at = item * p.batch.volume + pixel * labels;
  const bool spoilt = p.bad != nullptr && p.bad[item] != 0;
  T best = kForbidden<T> * T(64);
  int best_label = labels - 1;
  for (int l = lane; l < labels; l += kWarp) {
    T c = a.unary[at + l];
    for (int r = 0; r < a.count; ++r) c = c + p.messages[r][at + l];
    if (a.sum != nullptr) a.sum[at + l] = c;
    if (a.costs != nullptr) a.costs[at + l] = spoilt ? not_a_number<T>() : cpu::cost_for_caller(c);
    better(best, best_label, c, l);
  }
  if (a.labels == nullptr) return;
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, best, apart);
    const int label = __shfl_xor_sync(kAllLanes, best_label, apart);
    better(best, best_label, other, label);
  }
  if (lane == 0) a.labels[item * p.pixels + pixel] = best_label;
}

/// Forbidden labels (+inf) become kForbidden, so that inf - inf cannot arise.
template <class T>
__global__ void finite_unary_kernel(const T* from, T* to, int64_t size, int32_t* bad) {
  const int64_t item = blockIdx.y, step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  bool ordinary = true;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += step) {
    const T value = from[item * size + i];
    // NaN fails every comparison.
    ordinary = ordinary && (value == cpu::kInfinity<T> ||
                            (value < cpu::kLargestUnary<T> && value > -cpu::kLargestUnary<T>));
    to[item * size + i] = lower(value, kForbidden<T>);
  }
  if (!ordinary) atomicOr(bad + item, kBadUnary);
}

}  // namespace

template <class T>
int gather(const cpu::GatherArgs<T>& args, const Batch& batch, const int32_t* bad, Stream stream) {
  GatherParameters<T> p{args, {}, args.shape.pixels(), batch, bad};
  for (int r = 0; r < args.count; ++r) p.messages[r] = static_cast<const T*>(args.messages[r]);
  const dim3 grid(static_cast<unsigned>((p.pixels + kWarpsPerBlock - 1) / kWarpsPerBlock),
                  static_cast<unsigned>(batch.count));
  MRF_LAUNCH(gather_kernel<T>, grid, dim3(kWarpsPerBlock * kWarp), 0,
             static_cast<cudaStream_t>(stream), p);
  return static_cast<int>(cudaGetLastError());
}

template <class T>
int finite_unary(const T* from, T* to, int64_t size, int64_t items, int32_t* bad, Stream stream) {
  constexpr int kThreads = 256, kMostBlocks = 1 << 12;
  const int64_t blocks = (size + kThreads - 1) / kThreads;
  const dim3 grid(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks),
                  static_cast<unsigned>(items));
  MRF_LAUNCH(finite_unary_kernel<T>, grid, dim3(kThreads), 0, static_cast<cudaStream_t>(stream),
             from, to, size, bad);
  return static_cast<int>(cudaGetLastError());
}

template int gather<float>(const cpu::GatherArgs<float>&, const Batch&, const int32_t*, Stream);
template int gather<double>(const cpu::GatherArgs<double>&, const Batch&, const int32_t*, Stream);
template int finite_unary<float>(const float*, float*, int64_t, int64_t, int32_t*, Stream);
template int finite_unary<double>(const double*, double*, int64_t, int64_t, int32_t*, Stream);

}  // namespace mrfcore::cuda
