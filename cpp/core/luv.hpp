// SPDX-License-Identifier: Apache-2.0
// CIE 1976 L*u*v* of sRGB colours, white D65, in plain arithmetic: the same bits on every machine.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/hd.hpp"

namespace mrfcore::core {

/// x^(1 / kDegree), x > 0, by Newton's method from a start within a few percent.
template <int kDegree>
MRF_CORE double newton_root(double x) {
  int64_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  constexpr int64_t kOne = int64_t{1023} << 52;  // the bits of 1.0: logarithms are about linear
  bits = kOne + (bits - kOne) / kDegree;
  double root;
  std::memcpy(&root, &bits, sizeof(root));
  for (int step = 0; step < 5; ++step) {
    double power = root;
    for (int i = 2; i < kDegree; ++i) power *= root;
    root += (x / power - root) * (1.0 / kDegree);
  }
  return root;
}

/// Linear intensity of an sRGB value in 0..1.
MRF_CORE double srgb_to_linear(double value) {
  if (value <= 0.04045) return value / 12.92;
  const double base = (value + 0.055) / 1.055;
  const double fifth = newton_root<5>(base);
  return base * base * (fifth * fifth);  // base^2.4
}

MRF_CORE double linear_to_srgb(double value) {
  if (value <= 0.0031308) return 12.92 * value;
  const double twelfth = newton_root<4>(newton_root<3>(value));
  const double square = twelfth * twelfth;
  return 1.055 * (square * square * twelfth) - 0.055;  // value^(5 / 12)
}

/// Chromaticity of the white point, (4 X, 9 Y) / (X + 15 Y + 3 Z).
struct LuvWhite {
  static constexpr double kX = 0.4124564 + 0.3575761 + 0.1804375;
  static constexpr double kZ = 0.0193339 + 0.1191920 + 0.9503041;
  static constexpr double kU = 4 * kX / (kX + 15 + 3 * kZ);
  static constexpr double kV = 9 / (kX + 15 + 3 * kZ);
};

/// L* 0..100, u*, v* of linear red, green, blue in 0..1.
MRF_CORE void linear_to_luv(const double (&rgb)[3], double (&luv)[3]) {
  const double x = 0.4124564 * rgb[0] + 0.3575761 * rgb[1] + 0.1804375 * rgb[2];
  const double y = 0.2126729 * rgb[0] + 0.7151522 * rgb[1] + 0.0721750 * rgb[2];
  const double z = 0.0193339 * rgb[0] + 0.1191920 * rgb[1] + 0.9503041 * rgb[2];
  constexpr double kDark = 216.0 / 24389.0;  // (6 / 29)^3
  luv[0] = y > kDark ? 116 * newton_root<3>(y) - 16 : y * (24389.0 / 27.0);
  const double sum = x + 15 * y + 3 * z;
  luv[1] = sum > 0 ? 13 * luv[0] * (4 * x / sum - LuvWhite::kU) : 0;
  luv[2] = sum > 0 ? 13 * luv[0] * (9 * y / sum - LuvWhite::kV) : 0;
}

/// The inverse; L* <= 0 is black.
MRF_CORE void luv_to_linear(const double (&luv)[3], double (&rgb)[3]) {
  if (!(luv[0] > 0)) {
    rgb[0] = rgb[1] = rgb[2] = 0;
    return;
  }
  const double cube = (luv[0] + 16) / 116;
  const double y = luv[0] > 8 ? cube * cube * cube : luv[0] * (27.0 / 24389.0);
  const double u = luv[1] / (13 * luv[0]) + LuvWhite::kU;
  const double v = luv[2] / (13 * luv[0]) + LuvWhite::kV;
  const double x = y * (9 * u) / (4 * v), z = y * (12 - 3 * u - 20 * v) / (4 * v);
  rgb[0] = 3.2404542 * x - 1.5371385 * y - 0.4985314 * z;
  rgb[1] = -0.9692660 * x + 1.8760108 * y + 0.0415560 * z;
  rgb[2] = 0.0556434 * x - 0.2040259 * y + 1.0572252 * z;
}

}  // namespace mrfcore::core
