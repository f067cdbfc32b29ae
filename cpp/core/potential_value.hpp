// SPDX-License-Identifier: Apache-2.0
// Scalar pairwise functions V(l, m) of spec section 1, shared by energy evaluation, plans and
// tests.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/hd.hpp"
#include "mrfcore/potential.hpp"

namespace mrfcore::core {

/// Value of a potential that depends on the label difference d = |l - m| only (all but Table).
MRF_CORE double difference_value(PotentialKind kind, double a, double b, double d) {
  switch (kind) {
    case PotentialKind::Potts:
      return d == 0.0 ? 0.0 : 1.0;
    case PotentialKind::TruncatedLinear:
      return d < a ? d : a;
    case PotentialKind::TruncatedQuadratic:
      return d * d < a ? d * d : a;
    case PotentialKind::SGMPenalty:  // Eq 3.2
      return d == 0.0 ? 0.0 : (d == 1.0 ? a : b);
    case PotentialKind::Huber:
      return d <= a ? 0.5 * d * d : a * (d - 0.5 * a);
    case PotentialKind::Cauchy:
      return 0.5 * a * a * std::log1p((d / a) * (d / a));
    case PotentialKind::Table:
      break;
  }
  return 0.0;
}

}  // namespace mrfcore::core
