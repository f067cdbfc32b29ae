// SPDX-License-Identifier: Apache-2.0
// Soft minimum (sum-product in the log domain, spec section 3):
//   out(l) = -t log sum_m exp(-(h(m) + w V(m, l)) / t).
// The hard minimum is taken out first, so every exponent is <= 0 and the sum is >= 1: finite at any
// scale of the input. The adjoint recomputes the L^2 terms instead of keeping them.
#include "cpu/soft_min.hpp"

#include "core/exponential.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// total(l) = sum_m exp((lowest(l) - h(m) - cost(m, l)) / t)
template <class T>
void soft_totals(const T* table, int labels, int64_t stride, const T* h, T w, T inverse_t,
                 const T* lowest, T* total) {
  for (int64_t l = 0; l < stride; ++l) total[l] = T(0);
  for (int m = 0; m < labels; ++m, table += stride) {
    for (int64_t l = 0; l < stride; ++l) {
      total[l] += core::exp_nonpositive((lowest[l] - (h[m] + table[l] * w)) * inverse_t);
    }
  }
}

}  // namespace

template <class T>
void soft_table(const MinConvolutionPlan<T>& plan, bool transposed, int count, const T* h,
                const T* w, T* out, T* scratch) {
  min_convolution<T>(MinConvolutionKind::Table)(plan, transposed, count, h, w, out, scratch);
  const T* table = transposed ? plan.table_t : plan.table;
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride) {
    soft_totals(table, plan.labels, plan.stride, h, plan.unit_weight ? T(1) : w[g],
                T(1) / plan.temperature, out, scratch);
    for (int l = 0; l < plan.labels; ++l) out[l] -= plan.temperature * natural_log(scratch[l]);
    // Padding must not fall below the row's minimum.
    for (int64_t l = plan.labels; l < plan.stride; ++l) out[l] = out[plan.labels - 1];
  }
}

template <class T>
T soft_adjoint(const SoftAdjoint<T>& a, const T* h, T w, T* g, T* gh, double* grad_table) {
  const int64_t n = a.stride;
  T* lowest = a.scratch;
  T* share = a.scratch + n;
  T* term = a.scratch + 2 * n;
  const T inverse_t = T(1) / a.temperature;
  for (int64_t l = 0; l < n; ++l) lowest[l] = kForbidden<T> * T(4);
  for (int m = 0; m < a.labels; ++m) {
    for (int64_t l = 0; l < n; ++l) {
      const T candidate = h[m] + a.table[m * n + l] * w;
      lowest[l] = candidate < lowest[l] ? candidate : lowest[l];
    }
  }
  soft_totals(a.table, a.labels, n, h, w, inverse_t, lowest, share);
  // The message had its minimum taken off.
  int lowest_label = 0;
  for (int l = 0; l < a.labels; ++l) {
    term[l] = lowest[l] - a.temperature * natural_log(share[l]);
    if (term[l] < term[lowest_label]) lowest_label = l;
  }
  g[lowest_label] -= ordered_sum(g, a.labels);
  for (int64_t l = 0; l < n; ++l) share[l] = l < a.labels ? g[l] / share[l] : T(0);
  T grad_weight = T(0);
  for (int m = 0; m < a.labels; ++m) {
    const T* v = a.table + m * n;
    for (int64_t l = 0; l < n; ++l) {
      term[l] = share[l] * core::exp_nonpositive((lowest[l] - (h[m] + v[l] * w)) * inverse_t);
    }
    gh[m] = ordered_sum(term, a.labels);
    if (grad_table != nullptr) {
      for (int l = 0; l < a.labels; ++l) {
        const int64_t at = a.transposed ? int64_t{l} * a.labels + m : int64_t{m} * a.labels + l;
        grad_table[at] += static_cast<double>(w * term[l]);
      }
    }
    for (int64_t l = 0; l < n; ++l) term[l] *= v[l];
    grad_weight += ordered_sum(term, a.labels);
  }
  for (int64_t m = a.labels; m < n; ++m) gh[m] = T(0);
  return grad_weight;
}

template void soft_table<float>(const MinConvolutionPlan<float>&, bool, int, const float*,
                                const float*, float*, float*);
template void soft_table<double>(const MinConvolutionPlan<double>&, bool, int, const double*,
                                 const double*, double*, double*);
template float soft_adjoint<float>(const SoftAdjoint<float>&, const float*, float, float*, float*,
                                   double*);
template double soft_adjoint<double>(const SoftAdjoint<double>&, const double*, double, double*,
                                     double*, double*);

}  // namespace mrfcore::cpu::MRF_ISA
