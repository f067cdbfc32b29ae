// SPDX-License-Identifier: Apache-2.0
// Min-convolutions out(l) = min_m h(m) + w V(m, l) of a row held by a warp, with or without the
// lowest label that attains each minimum. Every candidate is computed as on the CPU and minima are
// exact, so the values agree with the CPU's bit by bit.
#pragma once

#include "cpu/min_convolution_plan.hpp"
#include "warp_row.cuh"

namespace mrfcore::cuda {

using cpu::MinConvolutionKind;
using cpu::MinConvolutionPlan;

/// A convolved row; `from` is empty unless arg-mins are kept.
template <class T, int NK, bool Argmin>
struct Convolved {
  WarpRow<T, NK> value;
};
template <class T, int NK>
struct Convolved<T, NK, true> {
  WarpRow<T, NK> value;
  WarpRow<int, NK> from;
};

/// What every label may cost at most: the best value of all plus the largest V. The lower label
/// wins ties.
template <class T, int NK, bool Argmin>
__device__ __forceinline__ void cap(Convolved<T, NK, Argmin>& out, const WarpRow<T, NK>& h,
                                    T lowest, T most) {
  const T limit = lowest + most;
  [[maybe_unused]] int label = 0;
  if constexpr (Argmin) label = first_label(h, lowest);
#pragma unroll
  for (int k = 0; k < NK; ++k) {
    if constexpr (Argmin) {
      const bool taken =
          limit < out.value.at[k] || (limit == out.value.at[k] && label < out.from.at[k]);
      if (taken) out.from.at[k] = label;
    }
    out.value.at[k] = lower(limit, out.value.at[k]);
  }
}

template <class T, int NK, bool Argmin>
__device__ __forceinline__ void start(Convolved<T, NK, Argmin>& out, const WarpRow<T, NK>& h) {
  out.value = h;
  if constexpr (Argmin) {
#pragma unroll
    for (int k = 0; k < NK; ++k) out.from.at[k] = WarpRow<T, NK>::label(k);
  }
}

/// One doubling step: out(l) = min(out(l - S) + cost, out(l), out(l + S) + cost); at equal cost
/// below wins over here, and here over above (why: cpp/cpu/register_row.hpp).
template <int S, class T, int NK, bool Argmin>
__device__ __forceinline__ void doubling_step(Convolved<T, NK, Argmin>& out, T cost) {
  const WarpRow<T, NK> below = out.value.template from_below<S>(kForbidden<T>);
  const WarpRow<T, NK> above = out.value.template from_above<S>(kForbidden<T>);
  if constexpr (Argmin) {
    const WarpRow<int, NK> from_below = out.from.template from_below<S>(0);
    const WarpRow<int, NK> from_above = out.from.template from_above<S>(0);
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const T low = below.at[k] + cost, high = above.at[k] + cost;
      if (low <= out.value.at[k]) out.from.at[k] = from_below.at[k];
      const T best = lower(low, out.value.at[k]);
      if (high < best) out.from.at[k] = from_above.at[k];
      out.value.at[k] = lower(high, best);
    }
  } else {
#pragma unroll
    for (int k = 0; k < NK; ++k)
      out.value.at[k] = lower(out.value.at[k], lower(below.at[k], above.at[k]) + cost);
  }
}

template <int S, class T, int NK, bool Argmin>
__device__ __forceinline__ void doubling_steps(Convolved<T, NK, Argmin>& out, int steps, T w) {
  if constexpr (S < NK * kWarp) {  // larger ones would see nothing
    if (steps == 0) return;
    doubling_step<S>(out, w * static_cast<T>(S));
    doubling_steps<2 * S>(out, steps - 1, w);
  }
}

/// SGM penalty: the neighbours at P1. Of equal ones the lower label.
template <class T, int NK, bool Argmin>
__device__ __forceinline__ void neighbours(Convolved<T, NK, Argmin>& out, T p1) {
  const WarpRow<T, NK> h = out.value;
  const WarpRow<T, NK> below = h.template from_below<1>(kForbidden<T>);
  const WarpRow<T, NK> above = h.template from_above<1>(kForbidden<T>);
#pragma unroll
  for (int k = 0; k < NK; ++k) {
    const T low = below.at[k] + p1, high = above.at[k] + p1;
    if constexpr (Argmin) {
      if (low <= h.at[k]) out.from.at[k] = WarpRow<T, NK>::label(k) - 1;
      if (high < lower(low, h.at[k])) out.from.at[k] = WarpRow<T, NK>::label(k) + 1;
    }
    out.value.at[k] = lower(high, lower(low, h.at[k]));
  }
}

/// Any V by a row in shared memory; labels m come in ascending order, so that a strict comparison
/// keeps the lowest.
template <class T, int NK, bool Argmin>
struct Candidates {
  Convolved<T, NK, Argmin>& out;

  __device__ __forceinline__ explicit Candidates(Convolved<T, NK, Argmin>& to) : out(to) {
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      out.value.at[k] = kForbidden<T> * T(4);
      if constexpr (Argmin) out.from.at[k] = WarpRow<T, NK>::label(k);
    }
  }
  __device__ __forceinline__ void offer(int k, T value, [[maybe_unused]] int m) {
    if constexpr (Argmin) {
      if (value < out.value.at[k]) out.from.at[k] = m;
    }
    out.value.at[k] = lower(value, out.value.at[k]);
  }
};

/// V by |l - m|, constant beyond the band.
template <class T, int NK, bool Argmin>
__device__ __forceinline__ void shift(const MinConvolutionPlan<T>& plan, const T* row, T w,
                                      Convolved<T, NK, Argmin>& out) {
  Candidates<T, NK, Argmin> best(out);
  for (int d = -plan.band; d <= plan.band; ++d) {
    const T cost = w * __ldg(plan.shift + (d < 0 ? -d : d));
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const int m = WarpRow<T, NK>::label(k) + d;
      if (m >= 0 && m < plan.labels) best.offer(k, row[m] + cost, m);
    }
  }
}

template <class T, int NK, bool Argmin>
__device__ __forceinline__ void table(const MinConvolutionPlan<T>& plan, bool transposed,
                                      const T* row, T w, Convolved<T, NK, Argmin>& out) {
  const T* values = transposed ? plan.table_t : plan.table;
  Candidates<T, NK, Argmin> best(out);
  for (int m = 0; m < plan.labels; ++m, values += plan.stride) {
    const T h = row[m];
#pragma unroll
    for (int k = 0; k < NK; ++k) {
      const int l = WarpRow<T, NK>::label(k);
      if (l >= plan.labels) continue;
      const T v = __ldg(values + l);
      best.offer(k, h + (plan.unit_weight ? v : v * w), m);
    }
  }
}

/// Whether min_l out(l) = min_m h(m): staying costs nothing, and nothing costs less.
template <class T>
__device__ __forceinline__ bool keeps_minimum(const MinConvolutionPlan<T>& plan, T w) {
  return plan.kind != MinConvolutionKind::Shift && plan.kind != MinConvolutionKind::Table &&
         w >= T(0);
}

/// `lowest`: the minimum of h. `row`: NK * 32 elements of shared memory of this warp, used by Shift
/// and Table. Tables: whether the plan may be one; code that is never run costs registers, too.
template <bool Tables = true, class T, int NK, bool Argmin>
__device__ __forceinline__ void convolve(const MinConvolutionPlan<T>& plan, bool transposed,
                                         const WarpRow<T, NK>& h, T lowest, T w, T* row,
                                         Convolved<T, NK, Argmin>& out) {
  if (plan.kind == MinConvolutionKind::Shift || plan.kind == MinConvolutionKind::Table) {
    __syncwarp();  // the last row has been read by all lanes
#pragma unroll
    for (int k = 0; k < NK; ++k) row[WarpRow<T, NK>::label(k)] = h.at[k];
    __syncwarp();
    if constexpr (Tables) {
      if (plan.kind == MinConvolutionKind::Table) return table(plan, transposed, row, w, out);
    }
    shift(plan, row, w, out);
  } else {
    start(out, h);
    if (plan.kind == MinConvolutionKind::TruncatedLinear)
      doubling_steps<1>(out, plan.doubling_steps, w);
    if (plan.kind == MinConvolutionKind::SGMPenalty) neighbours(out, w * plan.p1);
  }
  cap(out, h, lowest, w * plan.cap);
}

}  // namespace mrfcore::cuda
