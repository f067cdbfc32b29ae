// SPDX-License-Identifier: Apache-2.0
// The sweep engine: geometry x rule x potential. The strip says which pixels follow which, the
// plan's function does the min-convolution, the rule says what happens at a node. At every node the
// rule is handed the convolved message and leaves in `h` the vector that the next node will
// convolve, so each step touches the memory of one pixel only.
#pragma once

#include "cpu/control.hpp"
#include "cpu/message.hpp"
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

/// For a rule's prefetch(): asks for rows that a later node will read. A hardware prefetcher
/// follows a scanline but not the jumps from row to row of a strip that runs down the image.
/// Inlined by force: the compiler takes a function that only prefetches for one without effect, and
/// drops calls of it.
template <class T>
[[gnu::always_inline]] inline void prefetch_row(int64_t pixel, int64_t stride, const T* volume) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t at = pixel * stride, end = at + stride; at < end; at += kLine)
    __builtin_prefetch(volume + at, 1);
}
template <class... Rows>
[[gnu::always_inline]] inline void prefetch_rows(int64_t pixel, int64_t stride,
                                                 const Rows*... volumes) {
  (prefetch_row(pixel, stride, volumes), ...);
}

/// Convolves a few nodes' messages at once, through memory: any potential.
template <class T, class Rule, class Record>
struct StoredStep {
  const MinConvolutionPlan<T>& plan;
  const StripWeights<T>& weights;
  StripBuffers<T>& buffers;
  const Record& record;
  bool backward;
  Control* control;
  MinConvolutionFn<T> convolve = min_convolution<T>(plan.kind);
  ArgminConvolutionFn<T> convolve_argmin = argmin_convolution<T>(plan.kind);

  void operator()(const Rule& rule, const StripRun& run, int64_t ahead) const {
    // A long strip of L^2 minima may take seconds: stop between its rows, too.
    if (slow() && should_stop(control)) return;
    for (int64_t i = 0; i < run.count; i += kGroup) {
      const int count = static_cast<int>(run.count - i < kGroup ? run.count - i : kGroup);
      for (int g = 0; g < count; ++g) rule.prefetch(run.pixel(i + g) + ahead);
      group(rule, run, i, count);
    }
  }

 private:
  bool slow() const {
    return plan.kind == MinConvolutionKind::Table || plan.kind == MinConvolutionKind::SoftTable;
  }
  void group(const Rule& rule, const StripRun& run, int64_t i, int count) const {
    T w[kGroup];
    T* h = buffers.h(run.slot + i);
    for (int g = 0; g < count; ++g) w[g] = weights.of(run.owner(i + g));
    if constexpr (Record::kActive) {
      convolve_argmin(plan, backward, count, h, w, buffers.message, buffers.index, buffers.scratch);
    } else {
      convolve(plan, backward, count, h, w, buffers.message, buffers.scratch);
    }
    for (int g = 0; g < count; ++g) {
      const int64_t pixel = run.pixel(i + g);
      const T* message = buffers.message + g * plan.stride;
      rule.node(pixel, StoredMessage<T>(message, plan.stride), h + g * plan.row());
      if constexpr (Record::kActive) {
        record.keep(pixel, buffers.index + g * plan.stride);
        record.keep_minimum(pixel, rule.kZeroMinimum ? h + g * plan.row() : message, plan.stride);
      }
    }
  }
};

/// One node after the other, from registers to registers: rows of NV vectors, potentials of
/// convolves_in_registers(). The nodes of a run are independent of each other, so the processor
/// works on several at a time.
template <class T, class Rule, int NV>
struct RegisterStep {
  const MinConvolutionPlan<T>& plan;
  const StripWeights<T>& weights;
  StripBuffers<T>& buffers;

  // By value: what lies in locals need not be read again after every store.
  void operator()(const Rule rule, const StripRun run, int64_t ahead) const {
    const MinConvolutionPlan<T> potential = plan;
    for (int64_t i = 0; i < run.count; ++i) {
      const int64_t pixel = run.pixel(i);
      T* h = buffers.h(run.slot + i);
      const T w = weights.of(run.owner(i));
      rule.prefetch(pixel + ahead);
      const RegisterRow<T, NV> row(h);
      if constexpr (Rule::kZeroMinimum) {
        rule.node(pixel, RegisterMessage<T, NV>(potential, row, T(0), w), h);
      } else {
        rule.node(pixel, RegisterMessage<T, NV>(potential, row, w), h);
      }
    }
  }
};

/// The only scanline loop of the forward passes.
template <class T, class Rule, class Step, class Record>
void walk_strip(const Strip& strip, bool backward, const Rule& rule, const Step& step,
                StripBuffers<T>& buffers, const Record& record, int64_t stride) {
  const int64_t rows_ahead = strip.prefetch_distance(stride * static_cast<int64_t>(sizeof(T)));
  strip.walk(backward, [&](const StripRun& run) {
    if (run.linked) return step(rule, run, -rows_ahead * run.predecessor_offset);
    for (int64_t i = 0; i < run.count; ++i) {
      T* h = buffers.h(run.slot + i);
      rule.head(run.pixel(i), h);
      if constexpr (Record::kActive) {
        if (rule.kZeroMinimum) record.keep_minimum(run.pixel(i), h, stride);
      }
    }
  });
}

/// Whether sweeps take RegisterStep.
template <class T>
inline bool steps_in_registers(const MinConvolutionPlan<T>& plan, bool recording) {
  return !recording && convolves_in_registers(plan.kind) &&
         plan.stride <= kRegisterRow<T> * kLanes<T>;
}

/// What a strip's width is to be a multiple of: pairs of nodes keep the units busy in registers.
template <class T>
inline int64_t nodes_together(const MinConvolutionPlan<T>& plan, bool recording) {
  return steps_in_registers(plan, recording) ? 2 : kGroup;
}

/// Walks one strip one way.
template <class T, class Rule, class Record>
void sweep_strip(const Strip& strip, bool backward, const Rule& rule,
                 const MinConvolutionPlan<T>& plan, const StripWeights<T>& weights,
                 StripBuffers<T>& buffers, const Record& record, Control* control) {
  if constexpr (!Record::kActive) {
    const auto in_registers = [&]<int NV>() {
      walk_strip(strip, backward, rule, RegisterStep<T, Rule, NV>{plan, weights, buffers}, buffers,
                 record, plan.stride);
    };
    if (steps_in_registers(plan, Record::kActive)) {
      with_vector_count<kRegisterRow<T>>(plan.stride / kLanes<T>, in_registers);
      return;
    }
  }
  walk_strip(strip, backward, rule,
             StoredStep<T, Rule, Record>{plan, weights, buffers, record, backward, control},
             buffers, record, plan.stride);
}

}  // namespace mrfcore::cpu::MRF_ISA
