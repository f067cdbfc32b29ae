// SPDX-License-Identifier: Apache-2.0
// Iterated conditional modes of whole lines: a row's (or column's) labels are minimised jointly by
// dynamic programming while all others stay, so the energy never rises. Lines of one colour share
// no edge and are minimised side by side.
#include "cpu/kernels.hpp"
#include "cpu/min_convolution.hpp"
#include "cpu/neighbours.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

template <class T>
int64_t nodes_of(const LineArgs<T>& a) {
  return a.pair == 0 ? a.shape.width : a.shape.height;
}

/// Lines that a thread minimises in step: one where the states of more would need much memory.
template <class T>
int lines_together(const LineArgs<T>& a) {
  constexpr int64_t kMostBytes = int64_t{4} << 20;
  const int64_t bytes = kGroup * nodes_of(a) * a.shape.stride * static_cast<int64_t>(sizeof(T));
  return bytes <= kMostBytes ? kGroup : 1;
}

/// Up to kGroup lines in step: their min-convolutions are independent work.
template <class T>
class Lines {
 public:
  Lines(const LineArgs<T>& args, int most, ThreadMemory& memory)
      : a_(args),
        plan_(*args.plan),
        convolve_(min_convolution<T>(plan_.kind)),
        nodes_(nodes_of(args)) {
    const int64_t rows = kGroup * plan_.row(), messages = kGroup * plan_.stride;
    const int64_t states = most * nodes_ * plan_.stride;
    const int64_t total = states + messages + plan_.stride + scratch_size(plan_) + rows;
    states_ = static_cast<T*>(memory.reserve(total * static_cast<int64_t>(sizeof(T))));
    message_ = states_ + states;
    row_ = message_ + messages;
    scratch_ = row_ + plan_.stride;
    T* guarded = scratch_ + scratch_size(plan_);
    for (int64_t i = 0; i < rows; ++i) guarded[i] = kForbidden<T>;
    prepare_scratch(plan_, scratch_);
    h_ = guarded + plan_.guard;
  }

  /// Lines first, first + step, ..., `count` of them.
  void minimize(int64_t first, int64_t step, int count) {
    for (int64_t i = 0; i < nodes_ && !should_stop(a_.control); ++i) {
      T w[kGroup];
      for (int g = 0; g < count; ++g) w[g] = i > 0 ? weight(pixel(first + g * step, i - 1)) : T(0);
      if (i > 0) convolve_(plan_, false, count, h_, w, message_, scratch_);
      for (int g = 0; g < count; ++g) advance(first + g * step, i, g);
    }
    if (should_stop(a_.control)) return;  // states are not all there
    for (int g = 0; g < count; ++g) trace_back(first + g * step, g);
  }

 private:
  int64_t pixel(int64_t line, int64_t node) const {
    return a_.pair == 0 ? line * a_.shape.width + node : node * a_.shape.width + line;
  }
  /// Of the edge that a node has with the next one of its line.
  T weight(int64_t owner) const {
    if (a_.weights.per_edge == nullptr) return a_.weights.scale;
    return a_.weights.scale * a_.weights.per_edge[a_.pair * a_.shape.pixels() + owner];
  }
  T* state(int g, int64_t node) const { return states_ + (g * nodes_ + node) * plan_.stride; }

  /// Costs of a node given all labels off its line, plus the message along the line.
  void advance(int64_t line, int64_t node, int g) const {
    const int64_t at = pixel(line, node), n = a_.shape.stride;
    const bool row = a_.pair == 0;
    const Neighbours near(a_.shape, row ? line : node, row ? node : line);
    T* h = h_ + g * plan_.row();
    for (int64_t l = 0; l < n; l += kLanes<T>) store(h + l, load(a_.unary + at * n + l));
    for (int r = 0; r < a_.shape.connectivity; ++r) {
      if (core::pair_of(r) != a_.pair && near.inside[r])
        add_edge_costs(a_, near, at, r, a_.labels[at + near.offset[r]], h);
    }
    if (node > 0) {
      const T* message = message_ + g * plan_.stride;
      const Vec<T> lowest = splat<T>(row_min(message, n));
      for (int64_t l = 0; l < n; l += kLanes<T>)
        store(h + l, load(h + l) + (load(message + l) - lowest));
    }
    T* kept = state(g, node);
    for (int64_t l = 0; l < n; l += kLanes<T>) store(kept + l, load(h + l));
  }

  /// Last node first; on ties the present label stays, or the lowest wins.
  void trace_back(int64_t line, int g) const {
    const int64_t n = a_.shape.stride;
    int32_t next = -1;
    for (int64_t node = nodes_ - 1; node >= 0; --node) {
      const int64_t at = pixel(line, node);
      const T* costs = state(g, node);
      if (next >= 0) {
        const T* v = a_.table_t + next * n;
        const Vec<T> w = splat<T>(weight(at));
        for (int64_t l = 0; l < n; l += kLanes<T>)
          store(row_ + l, load(costs + l) + w * load(v + l));
        costs = row_;
      }
      int32_t& label = a_.labels[at];
      const T lowest = row_min(costs, n);
      if (costs[label] != lowest) label = first_minimum(costs, a_.shape.labels, n);
      next = label;
    }
  }

  const LineArgs<T>& a_;
  const MinConvolutionPlan<T>& plan_;
  const MinConvolutionFn<T> convolve_;
  const int64_t nodes_;
  T *states_, *message_, *row_, *scratch_, *h_;
};

}  // namespace

template <class T>
void minimize_lines(const LineArgs<T>& a) {
  const int64_t lines = a.pair == 0 ? a.shape.height : a.shape.width;
  const int colours = line_colours(a.shape.connectivity), together = lines_together(a);
  for (int colour = 0; colour < colours; ++colour) {
    const int64_t count = (lines - colour + colours - 1) / colours;
    const int64_t groups = (count + together - 1) / together;
    parallel_strips(groups, a.threads, a.control, [&](ThreadMemory& memory, int64_t group) {
      const int64_t begin = group * together, left = count - begin;
      Lines<T>(a, together, memory)
          .minimize(colour + begin * colours, colours,
                    left < together ? static_cast<int>(left) : together);
    });
  }
}

template void minimize_lines<float>(const LineArgs<float>&);
template void minimize_lines<double>(const LineArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
