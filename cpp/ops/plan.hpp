// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "cpu/min_convolution_plan.hpp"
#include "mrfcore/minimize.hpp"
#include "mrfcore/potential.hpp"
#include "ops/buffer.hpp"

namespace mrfcore {

/// Quadratic potentials use the envelope beyond this many shifts. A constant, not a property of the
/// machine: the choice decides rounding, and results are the same bits on every instruction set.
inline constexpr int64_t kLargestShiftBand = 128;

/// V as tables of T with padded rows: table[m * stride + l] = V(m, l) times `factor`.
template <class T>
struct PotentialTables {
  Buffer<T> table;
  Buffer<T> transposed;  ///< empty if V is symmetric

  PotentialTables() = default;
  PotentialTables(const Potential& potential, int64_t labels, int64_t stride, T factor);
  const T* forward() const { return table.data(); }
  const T* backward() const { return transposed ? transposed.data() : table.data(); }
};

/// What is chosen for a potential; neither tables nor anything that depends on vectors.
template <class T>
cpu::MinConvolutionPlan<T> choose_plan(const Potential& potential, int64_t labels,
                                       MinConvolution path);

/// A min-convolution plan together with the memory it points into.
template <class T>
class OwnedPlan {
 public:
  /// `lanes`: vector length of the kernels that will run it. `unit`: value of every edge weight, or
  /// null for per-edge.
  OwnedPlan(const Potential& potential, int64_t labels, int64_t lanes, MinConvolution path,
            const T* uniform_weight);
  /// A plan whose memory somebody else keeps.
  explicit OwnedPlan(const cpu::MinConvolutionPlan<T>& plan) : plan_(plan) {}

  const cpu::MinConvolutionPlan<T>& get() const { return plan_; }
  /// Soft minima instead of minima; for plans by table.
  void soften(T temperature) {
    plan_.kind = cpu::MinConvolutionKind::SoftTable;
    plan_.temperature = temperature;
  }

 private:
  int64_t guard_for(int64_t lanes) const;

  cpu::MinConvolutionPlan<T> plan_{};
  std::vector<T> shift_;
  PotentialTables<T> tables_;
};

inline int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace mrfcore
