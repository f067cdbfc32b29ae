// SPDX-License-Identifier: Apache-2.0
// The sweep engine: geometry x rule x potential. The strip says which pixels follow which, the
// plan's function does the min-convolution, the rule says what happens at a node. At every node the
// rule is handed the convolved message and leaves in `h` the vector that the next node will
// convolve, so each step touches the memory of one pixel only.
#pragma once

#include "cpu/control.hpp"
#include "cpu/min_convolution.hpp"
#include "cpu/scratch.hpp"
#include "cpu/strip.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Keeps nothing.
struct NoRecord {
  static constexpr bool kActive = false;
};

/// Keeps arg-mins and minima for the backward pass.
template <class T, class Index>
struct ArgminRecord {
  static constexpr bool kActive = true;
  Index* argmin;
  Index* minimum;
  int labels;

  ArgminRecord(const ArgminTape& tape, int label_count)
      : argmin(static_cast<Index*>(tape.argmin)),
        minimum(static_cast<Index*>(tape.minimum)),
        labels(label_count) {}

  /// Labels of forbidden ones may lie outside: any label will do for them.
  void keep(int64_t pixel, const Lane<T>* row) const {
    typedef Index Narrow __attribute__((vector_size(sizeof(Index) * kLanes<T>)));
    const LabelVec<T> zero{}, last = splat_label<T>(labels - 1);
    Index* to = argmin + pixel * labels;
    for (int l = 0; l < labels; l += kLanes<T>) {
      const LabelVec<T> m = load(row + l);
      const LabelVec<T> from_zero = m < zero ? zero : m;
      const Narrow kept = __builtin_convertvector(from_zero > last ? last : from_zero, Narrow);
      if (l + kLanes<T> <= labels) {
        std::memcpy(to + l, &kept, sizeof(kept));
      } else {  // the next pixel's labels follow, perhaps another thread's
        std::memcpy(to + l, &kept, static_cast<size_t>(labels - l) * sizeof(Index));
      }
    }
  }
  void keep_minimum(int64_t pixel, const T* row, int64_t stride) const {
    minimum[pixel] = static_cast<Index>(first_minimum(row, labels, stride));
  }
};

/// Walks one strip one way: the only scanline loop of the forward passes.
template <class T, class Rule, class Record>
void sweep_strip(const Strip& strip, bool backward, const Rule& rule,
                 const MinConvolutionPlan<T>& plan, const StripWeights<T>& weights,
                 StripBuffers<T>& buffers, const Record& record, Control* control) {
  const MinConvolutionFn<T> convolve = min_convolution<T>(plan.kind);
  const ArgminConvolutionFn<T> convolve_argmin = argmin_convolution<T>(plan.kind);
  T w[kGroup];
  // A long strip of L^2 minima may take seconds: stop between its rows, too.
  const bool slow =
      plan.kind == MinConvolutionKind::Table || plan.kind == MinConvolutionKind::SoftTable;
  strip.walk(backward, [&](const StripRun& run) {
    if (slow && should_stop(control)) return;
    if (!run.linked) {
      for (int64_t i = 0; i < run.count; ++i) {
        T* h = buffers.h(run.slot + i);
        rule.head(run.pixel(i), h);
        if constexpr (Record::kActive) {
          if (rule.kMinimumOfState) record.keep_minimum(run.pixel(i), h, plan.stride);
        }
      }
      return;
    }
    for (int64_t i = 0; i < run.count; i += kGroup) {
      const int count = static_cast<int>(run.count - i < kGroup ? run.count - i : kGroup);
      T* h = buffers.h(run.slot + i);
      for (int g = 0; g < count; ++g) w[g] = weights.of(run.owner(i + g));
      if constexpr (Record::kActive) {
        convolve_argmin(plan, backward, count, h, w, buffers.message, buffers.index,
                        buffers.scratch);
      } else {
        convolve(plan, backward, count, h, w, buffers.message, buffers.scratch);
      }
      for (int g = 0; g < count; ++g) {
        const int64_t pixel = run.pixel(i + g);
        const T* message = buffers.message + g * plan.stride;
        rule.node(pixel, message, h + g * plan.row());
        if constexpr (Record::kActive) {
          record.keep(pixel, buffers.index + g * plan.stride);
          record.keep_minimum(pixel, rule.kMinimumOfState ? h + g * plan.row() : message,
                              plan.stride);
        }
      }
    }
  });
}

}  // namespace mrfcore::cpu::MRF_ISA
