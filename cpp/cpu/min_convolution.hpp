// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/min_convolution_plan.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Most rows one call may convolve: enough independent work to hide latencies and to share table
/// loads.
inline constexpr int kGroup = 4;

/// out_g(l) = min_m h_g(m) + w_g V(m, l) for g = 0..count-1 (V transposed if `transposed`).
/// h: guarded rows, plan.row() apart, pointing at label 0; out: rows plan.stride apart; scratch:
/// scratch_size(plan) elements prepared by prepare_scratch.
template <class T>
using MinConvolutionFn = void (*)(const MinConvolutionPlan<T>& plan, bool transposed, int count,
                                  const T* h, const T* w, T* out, T* scratch);

template <class T>
MinConvolutionFn<T> min_convolution(MinConvolutionKind kind);

template <class T>
int64_t scratch_size(const MinConvolutionPlan<T>& plan);

/// Writes the guards, which are never written again.
template <class T>
void prepare_scratch(const MinConvolutionPlan<T>& plan, T* scratch);

}  // namespace mrfcore::cpu::MRF_ISA
