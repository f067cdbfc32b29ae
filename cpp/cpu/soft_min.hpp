// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/kernels.hpp"
#include "cpu/min_convolution.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// One direction's view of the pairwise table for soft_adjoint.
template <class T>
struct SoftAdjoint {
  const T* table;   ///< V(m, l) at [m * stride + l], unweighted; transposed against the pair
  bool transposed;  ///< which of the two: decides where grad_table is added to
  int labels;
  int64_t stride;
  T temperature;
  T* scratch;  ///< 3 * stride
};

/// Adjoint of one soft minimum less its minimum over l: from g(l) = d loss / d message(l) (changed)
/// to gh(m) (overwritten) and grad_table [L][L] (added to, unless null). Returns d loss / d w.
template <class T>
T soft_adjoint(const SoftAdjoint<T>& a, const T* h, T w, T* g, T* gh, double* grad_table);

inline float natural_log(float x) { return __builtin_logf(x); }
inline double natural_log(double x) { return __builtin_log(x); }

}  // namespace mrfcore::cpu::MRF_ISA
