// SPDX-License-Identifier: Apache-2.0
// The sweep engine: geometry x rule x potential. The strip says which pixels follow which, the
// plan's function does the min-convolution, the rule says what happens at a node. At every node the
// rule is handed the convolved message and leaves in `h` the vector that the next node will
// convolve, so each step touches the memory of one pixel only.
#pragma once

#include "cpu/min_convolution.hpp"
#include "cpu/scratch.hpp"
#include "cpu/strip.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Walks one strip one way: the only scanline loop of the library.
template <class T, class Rule>
void sweep_strip(const Strip& strip, bool backward, const Rule& rule,
                 const MinConvolutionPlan<T>& plan, const StripWeights<T>& weights,
                 StripBuffers<T>& buffers) {
  const MinConvolutionFn<T> convolve = min_convolution<T>(plan.kind);
  T w[kGroup];
  strip.walk(backward, [&](const StripRun& run) {
    if (!run.linked) {
      for (int64_t i = 0; i < run.count; ++i) rule.head(run.pixel(i), buffers.h(run.slot + i));
      return;
    }
    for (int64_t i = 0; i < run.count; i += kGroup) {
      const int count = static_cast<int>(run.count - i < kGroup ? run.count - i : kGroup);
      T* h = buffers.h(run.slot + i);
      for (int g = 0; g < count; ++g) w[g] = weights.of(run.owner(i + g));
      convolve(plan, backward, count, h, w, buffers.message, buffers.scratch);
      for (int g = 0; g < count; ++g) {
        rule.node(run.pixel(i + g), buffers.message + g * plan.stride, h + g * plan.row());
      }
    }
  });
}

}  // namespace mrfcore::cpu::MRF_ISA
