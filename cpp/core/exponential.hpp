// SPDX-License-Identifier: Apache-2.0
// exp for x <= 0 in plain arithmetic: the same bits on every machine, and a loop over it
// vectorises.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/hd.hpp"

namespace mrfcore::core {

/// exp(x), x <= 0, relative error below 2e-7; 0 below -87.
MRF_CORE float exp_nonpositive(float x) {
  const float clipped = x > -87.0f ? x : -87.0f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = clipped * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (clipped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return x > -87.0f ? p * power : 0.0f;
}

/// exp(x), x <= 0, relative error below 1e-15; 0 below -700.
MRF_CORE double exp_nonpositive(double x) {
  const double clipped = x > -700.0 ? x : -700.0;
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = clipped * 1.4426950408889634 + kRound;
  const double n = shifted - kRound;
  const double r = (clipped - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double p = 1.0;
  for (int k = 13; k >= 1; --k) p = p * r * (1.0 / k) + 1.0;
  const int64_t bits = (static_cast<int64_t>(n) + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof(power));
  return x > -700.0 ? p * power : 0.0;
}

}  // namespace mrfcore::core
