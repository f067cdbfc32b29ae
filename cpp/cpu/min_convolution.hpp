// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/lane.hpp"
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

/// The same with the lowest label m that attains each minimum: index_g(l), rows plan.stride apart.
/// Entries of forbidden labels and of padding may lie outside 0..L-1. Scratch is its own.
template <class T>
using ArgminConvolutionFn = void (*)(const MinConvolutionPlan<T>& plan, bool transposed, int count,
                                     const T* h, const T* w, T* out, Lane<T>* index, T* scratch);

template <class T>
ArgminConvolutionFn<T> argmin_convolution(MinConvolutionKind kind);

template <class T>
int64_t argmin_scratch_size(const MinConvolutionPlan<T>& plan);

template <class T>
void prepare_argmin_scratch(const MinConvolutionPlan<T>& plan, T* scratch);

/// Envelope only: for every label the parabola that the last row convolved with this scratch took.
template <class T>
const int* envelope_apexes(const MinConvolutionPlan<T>& plan, const T* scratch);

/// SoftTable: out(l) = -t log sum_m exp(-(h(m) + w V(m, l)) / t), see soft_min.cpp.
template <class T>
void soft_table(const MinConvolutionPlan<T>& plan, bool transposed, int count, const T* h,
                const T* w, T* out, T* scratch);

}  // namespace mrfcore::cpu::MRF_ISA
