// SPDX-License-Identifier: Apache-2.0
// Rows of more labels than a warp's registers hold (kMostLabels): a block has one in shared memory,
// thread i is in charge of labels i, i + threads, ... Min-convolutions are those of convolve.cuh,
// candidate by candidate.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/min_convolution_plan.hpp"
#include "soft_row.cuh"
#include "warp_row.cuh"

namespace mrfcore::cuda {

constexpr int kWideThreads = 256;
constexpr int kWideWarps = kWideThreads / kWarp;

/// body(l) for the labels that a thread is in charge of.
template <class Body>
__device__ __forceinline__ void each_label(int labels, const Body& body) {
  for (int l = static_cast<int>(threadIdx.x); l < labels; l += kWideThreads) body(l);
}

/// Shared memory of a block: rows of values, at least two; for doubling steps that keep arg-mins,
/// two rows of labels behind two of values; two places to find a minimum in, so that one is read
/// while the other is written.
template <class T>
struct WideRows {
  T* shared;
  int labels;

  static size_t bytes(int labels, int value_rows, int label_rows) {
    const size_t label_bytes = static_cast<size_t>(value_rows) * sizeof(T) +
                               static_cast<size_t>(label_rows) * sizeof(uint16_t);
    return 2 * kWideWarps * (sizeof(T) + sizeof(int)) + static_cast<size_t>(labels) * label_bytes;
  }
  // Computed, not looked up: an array of pointers would live in memory.
  __device__ __forceinline__ BlockMinimum<T> minimum(int i) const {
    int* const minimum_labels = reinterpret_cast<int*>(shared + 2 * kWideWarps);
    return {shared + i * kWideWarps, minimum_labels + i * kWideWarps};
  }
  __device__ __forceinline__ T* value(int i) const {
    return reinterpret_cast<T*>(minimum(2).labels) + i * labels;
  }
  __device__ __forceinline__ uint16_t* from(int i) const {
    return reinterpret_cast<uint16_t*>(value(2)) + i * labels;
  }
};

/// Launches a kernel whose blocks want `bytes` of shared memory; cudaErrorInvalidValue where no
/// block can have as much.
template <class P>
int launch_wide(void (*kernel)(P), dim3 grid, size_t bytes, cudaStream_t stream,
                const std::remove_const_t<P>& parameters) {
  int device = 0, most = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess && bytes > static_cast<size_t>(most)) error = cudaErrorInvalidValue;
  // As much as there is, whatever is asked for: callers in other threads want other sizes.
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
  if (error != cudaSuccess) return forgotten(error);
  MRF_LAUNCH(kernel, grid, dim3(kWideThreads), bytes, stream, parameters);
  return static_cast<int>(cudaGetLastError());
}

/// The convolution of the row h in rows.value(0), which all threads must have written; `lowest` is
/// its minimum.
template <class T, bool Argmin>
class WideConvolution {
 public:
  struct Candidate {
    T value;
    int from;  ///< lowest label that attains it, if arg-mins are kept
  };

  __device__ __forceinline__ WideConvolution(const cpu::MinConvolutionPlan<T>& p,
                                             bool is_transposed, const WideRows<T>& in,
                                             const Lowest<T>& of_h, T weight)
      : plan(p), rows(in), lowest(of_h), w(weight), transposed(is_transposed) {
    if (plan.kind == cpu::MinConvolutionKind::TruncatedLinear) doubling_steps();
  }

  /// The convolved row's value at a label the thread is in charge of.
  __device__ __forceinline__ Candidate at(int l) const {
    Candidate best = uncapped(l);
    if (plan.kind == cpu::MinConvolutionKind::Table) return best;  // has no largest V
    const T limit = lowest.value + w * plan.cap;
    if constexpr (Argmin) {
      const bool taken = limit < best.value || (limit == best.value && lowest.label < best.from);
      if (taken) best.from = lowest.label;
    }
    best.value = lower(limit, best.value);
    return best;
  }

  /// A row for results, of which a thread may write label l after at(l).
  __device__ __forceinline__ T* out() const {
    return rows.value(plan.kind == cpu::MinConvolutionKind::TruncatedLinear ? doubled : 1);
  }

 private:
  static constexpr T kOutside = kForbidden<T>;

  __device__ __forceinline__ Candidate uncapped(int l) const {
    switch (plan.kind) {
      case cpu::MinConvolutionKind::TruncatedLinear:
        return {rows.value(doubled)[l], from(l)};
      case cpu::MinConvolutionKind::SGMPenalty:
        return neighbours(l);
      case cpu::MinConvolutionKind::Shift:
        return shift(l);
      case cpu::MinConvolutionKind::Table:
        return table(l);
      default:
        return {rows.value(0)[l], l};
    }
  }

  __device__ __forceinline__ int from(int l) const {
    if constexpr (!Argmin) return l;
    return plan.doubling_steps == 0 ? l : rows.from(doubled)[l];
  }

  /// Ties as in convolve.cuh.
  __device__ __forceinline__ void doubling_steps() {
    int distance = 1;
    for (int k = 0; k < plan.doubling_steps && distance < plan.labels; ++k, distance *= 2) {
      const T* h = rows.value(doubled);
      const uint16_t* labels = rows.from(doubled);
      const T cost = w * static_cast<T>(distance);
      each_label(plan.labels, [&](int l) {
        const bool has_below = l >= distance, has_above = l + distance < plan.labels;
        const T here = h[l], below = has_below ? h[l - distance] : kOutside,
                above = has_above ? h[l + distance] : kOutside;
        T value;
        if constexpr (Argmin) {
          const auto label = [&](int at) { return k == 0 ? at : labels[at]; };
          const T low = below + cost, high = above + cost;
          int best = label(l);
          if (low <= here) best = has_below ? label(l - distance) : 0;
          value = lower(low, here);
          if (high < value) best = has_above ? label(l + distance) : 0;
          value = lower(high, value);
          rows.from(1 - doubled)[l] = static_cast<uint16_t>(best);
        } else {
          value = lower(here, lower(below, above) + cost);
        }
        rows.value(1 - doubled)[l] = value;
      });
      doubled = 1 - doubled;
      __syncthreads();
    }
  }

  __device__ __forceinline__ Candidate neighbours(int l) const {
    const T* h = rows.value(0);
    const T p1 = w * plan.p1, here = h[l];
    const T low = (l > 0 ? h[l - 1] : kOutside) + p1;
    const T high = (l + 1 < plan.labels ? h[l + 1] : kOutside) + p1;
    int best = l;
    if (low <= here) best = l - 1;
    if (high < lower(low, here)) best = l + 1;
    return {lower(high, lower(low, here)), best};
  }

  /// Labels m in ascending order: a strict comparison keeps the lowest.
  __device__ __forceinline__ Candidate shift(int l) const {
    Candidate best{kForbidden<T> * T(4), l};
    const int first = l > plan.band ? l - plan.band : 0;
    const int last = plan.labels - 1 - l > plan.band ? l + plan.band : plan.labels - 1;
    for (int m = first; m <= last; ++m)
      offer(best, rows.value(0)[m] + w * __ldg(plan.shift + (m < l ? l - m : m - l)), m);
    return best;
  }
  __device__ __forceinline__ Candidate table(int l) const {
    Candidate best{kForbidden<T> * T(4), l};
    const T* v = (transposed ? plan.table_t : plan.table) + l;
    for (int m = 0; m < plan.labels; ++m, v += plan.stride) {
      const T cost = plan.unit_weight ? __ldg(v) : __ldg(v) * w;
      offer(best, rows.value(0)[m] + cost, m);
    }
    return best;
  }
  static __device__ __forceinline__ void offer(Candidate& best, T value, int m) {
    if (Argmin && value < best.value) best.from = m;
    best.value = lower(value, best.value);
  }

  const cpu::MinConvolutionPlan<T>& plan;
  const WideRows<T>& rows;
  const Lowest<T> lowest;
  const T w;
  const bool transposed;
  int doubled = 0;  ///< which row has what the doubling steps left
};

}  // namespace mrfcore::cuda
