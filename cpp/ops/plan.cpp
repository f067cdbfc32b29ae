// SPDX-License-Identifier: Apache-2.0
#include "ops/plan.hpp"

#include <algorithm>
#include <cmath>

namespace mrfcore {

using cpu::MinConvolutionKind;

template <class T>
PotentialTables<T>::PotentialTables(const Potential& potential, int64_t labels, int64_t stride,
                                    T factor)
    : table(labels * stride) {
  const bool twice = !potential.symmetric();
  if (twice) transposed = Buffer<T>(labels * stride);
  for (int64_t m = 0; m < labels; ++m) {
    for (int64_t l = 0; l < stride; ++l) {
      const int64_t column =
          std::min(l, labels - 1);  // padding repeats the last column, so it never wins a minimum
      table.data()[m * stride + l] = factor * static_cast<T>(potential(m, column));
      if (twice) transposed.data()[m * stride + l] = factor * static_cast<T>(potential(column, m));
    }
  }
}

namespace {

/// Largest difference whose cost is below the truncation, at most L - 1.
int64_t last_below(double limit, int64_t labels) {
  if (!(limit < static_cast<double>(labels))) return labels - 1;
  return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(limit)) - 1, 0, labels - 1);
}

int doubling_steps_for(int64_t distance) {
  int steps = 0;
  while ((int64_t{1} << steps) - 1 < distance) ++steps;
  return steps;
}

}  // namespace

template <class T>
cpu::MinConvolutionPlan<T> choose_plan(const Potential& potential, int64_t labels,
                                       MinConvolution path) {
  cpu::MinConvolutionPlan<T> plan{};
  plan.labels = static_cast<int>(labels);
  plan.kind = MinConvolutionKind::Table;
  plan.cap = static_cast<T>(potential(0, labels - 1));  // all but tables grow with |l - m|
  if (path == MinConvolution::General) return plan;
  const double a = potential.a();
  switch (potential.kind()) {
    case PotentialKind::Potts:
      plan.kind = MinConvolutionKind::Potts;
      break;
    case PotentialKind::SGMPenalty:
      plan.kind = MinConvolutionKind::SGMPenalty;
      plan.p1 = static_cast<T>(a);
      plan.cap = static_cast<T>(potential.b());
      break;
    case PotentialKind::TruncatedLinear:
      plan.kind = MinConvolutionKind::TruncatedLinear;
      plan.doubling_steps = doubling_steps_for(last_below(a, labels));
      break;
    case PotentialKind::TruncatedQuadratic: {
      const int64_t band = last_below(std::sqrt(a), labels);
      plan.kind =
          band <= kLargestShiftBand ? MinConvolutionKind::Shift : MinConvolutionKind::Envelope;
      plan.band = static_cast<int>(band);
      break;
    }
    case PotentialKind::Huber:
    case PotentialKind::Cauchy:
      plan.kind = MinConvolutionKind::Shift;
      plan.band = static_cast<int>(labels - 1);
      break;
    case PotentialKind::Table:
      break;
  }
  return plan;
}

template <class T>
int64_t OwnedPlan<T>::guard_for(int64_t lanes) const {
  switch (plan_.kind) {
    case MinConvolutionKind::SGMPenalty:
      return lanes;
    case MinConvolutionKind::TruncatedLinear:
      return plan_.doubling_steps == 0 ? 0
                                       : round_up(int64_t{1} << (plan_.doubling_steps - 1), lanes);
    case MinConvolutionKind::Shift:  // a block of 4 vectors looks at most its own length beyond the
                                     // row
      return std::min(round_up(plan_.band, lanes), 4 * lanes);
    default:
      return 0;
  }
}

template <class T>
OwnedPlan<T>::OwnedPlan(const Potential& potential, int64_t labels, int64_t lanes,
                        MinConvolution path, const T* uniform_weight) {
  plan_ = choose_plan<T>(potential, labels, path);
  plan_.stride = round_up(labels, lanes);
  plan_.guard = guard_for(lanes);
  if (plan_.kind == MinConvolutionKind::Shift) {
    for (int64_t d = 0; d <= plan_.band; ++d) shift_.push_back(static_cast<T>(potential(d, 0)));
    plan_.shift = shift_.data();
  }
  if (plan_.kind == MinConvolutionKind::Table) {
    plan_.unit_weight = uniform_weight != nullptr;
    tables_ = PotentialTables<T>(potential, labels, plan_.stride,
                                 plan_.unit_weight ? *uniform_weight : T(1));
    plan_.table = tables_.forward();
    plan_.table_t = tables_.backward();
  }
}

template struct PotentialTables<float>;
template struct PotentialTables<double>;
template cpu::MinConvolutionPlan<float> choose_plan<float>(const Potential&, int64_t,
                                                           MinConvolution);
template cpu::MinConvolutionPlan<double> choose_plan<double>(const Potential&, int64_t,
                                                             MinConvolution);
template class OwnedPlan<float>;
template class OwnedPlan<double>;

}  // namespace mrfcore
