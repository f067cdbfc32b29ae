// SPDX-License-Identifier: Apache-2.0
// A convolved message on its way to the node that receives it: in memory, or still in the registers
// it was computed in. Rules read both through each().
#pragma once

#include "cpu/min_convolution.hpp"
#include "cpu/register_row.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// As a function of the table min_convolution() left it.
template <class T>
class StoredMessage {
 public:
  StoredMessage(const T* row, int64_t stride) : row_(row), stride_(stride) {}

  T lowest() const { return row_min(row_, stride_); }

  /// visit(l, values of labels l, l + 1, ...)
  template <class Visit>
  void each(const Visit& visit) const {
    for (int64_t l = 0; l < stride_; l += kLanes<T>) visit(l, load(row_ + l));
  }

  /// f(l, values) in place of the values; kept in `row`.
  template <class F>
  StoredMessage map(T* row, const F& f) const {
    each([&](int64_t l, Vec<T> v) { store(row + l, f(l, v)); });
    return StoredMessage(row, stride_);
  }

 private:
  const T* row_;
  int64_t stride_;
};

/// The same in registers.
template <class T, int NV>
struct RegisterValues {
  Vec<T> value[NV];

  T lowest() const { return lowest_value<T>(value); }

  template <class Visit>
  [[gnu::always_inline]] void each(const Visit& visit) const {
#pragma GCC unroll 16
    for (int i = 0; i < NV; ++i) visit(i * kLanes<T>, value[i]);
  }
};

/// A message of NV vectors that is convolved in registers. Inlined by force: on its way through a
/// call it would go through memory after all.
template <class T, int NV>
class RegisterMessage {
 public:
  /// Convolves h, whose minimum over labels is `lowest`.
  [[gnu::always_inline]] RegisterMessage(const MinConvolutionPlan<T>& plan,
                                         const RegisterRow<T, NV>& h, T lowest, T w)
      : row_(h), cap_(splat<T>(lowest + w * plan.cap)), lowest_(lowest) {
    if (plan.kind == MinConvolutionKind::TruncatedLinear) {
      doubling_steps<1>(row_, plan.doubling_steps, w, FusedAdd<T>());
    } else if (plan.kind == MinConvolutionKind::SGMPenalty) {
      row_.template step<1>(splat<T>(w * plan.p1), FusedAdd<T>());
    }  // Potts: the cap is all
  }
  /// Any h.
  [[gnu::always_inline]] RegisterMessage(const MinConvolutionPlan<T>& plan,
                                         const RegisterRow<T, NV>& h, T w)
      : RegisterMessage(plan, h, lowest_value<T>(h.value), w) {}

  /// That of h: w V >= 0, and V(l, l) = 0.
  T lowest() const { return lowest_; }

  template <class Visit>
  [[gnu::always_inline]] void each(const Visit& visit) const {
#pragma GCC unroll 16
    for (int i = 0; i < NV; ++i) visit(i * kLanes<T>, vmin(row_.value[i], cap_));
  }

  template <class F>
  [[gnu::always_inline]] RegisterValues<T, NV> map(T*, const F& f) const {
    RegisterValues<T, NV> to;
    each([&](int64_t l, Vec<T> v) { to.value[l / kLanes<T>] = f(l, v); });
    return to;
  }

 private:
  RegisterRow<T, NV> row_;
  Vec<T> cap_;
  T lowest_;
};

/// Whether RegisterMessage knows the potential.
inline bool convolves_in_registers(MinConvolutionKind kind) {
  return kind == MinConvolutionKind::TruncatedLinear || kind == MinConvolutionKind::SGMPenalty ||
         kind == MinConvolutionKind::Potts;
}

}  // namespace mrfcore::cpu::MRF_ISA
