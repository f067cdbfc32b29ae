// SPDX-License-Identifier: Apache-2.0
//
// sRGB to CIE L*a*b* (IEC 61966-2-1; white D65) by operations that every machine rounds alike:
// roots by Newton's and Halley's steps instead of the machine's pow(). Errors stay below 1e-4 of a
// unit of Lab.
#pragma once

#include <cstdint>

#include "core/hd.hpp"

namespace mrfcore {

struct Lab {
  float lightness, a, b;
};

/// a^(1/3), a in 0.008 .. 1.1: within 5e-2 at first, each step cubes that.
MRF_CORE float lab_cube_root(float a) {
  const auto bits = static_cast<float>(__builtin_bit_cast(int32_t, a));
  float r = __builtin_bit_cast(float, static_cast<int32_t>(bits * (1.0f / 3.0f)) + 0x2a5137a0);
  for (int i = 0; i < 2; ++i) {
    const float cube = r * r * r;
    r = r * (cube + (a + a)) / (cube + cube + a);
  }
  return r;
}

/// a^(1/5), a in 0.008 .. 1.
MRF_CORE float lab_fifth_root(float a) {
  const auto bits = static_cast<float>(__builtin_bit_cast(int32_t, a));
  float r = __builtin_bit_cast(float, static_cast<int32_t>(bits * 0.2f) + 0x32c9affb);
  for (int i = 0; i < 3; ++i) {
    const float fourth = (r * r) * (r * r);
    r = (4.0f * r + a / fourth) * 0.2f;
  }
  return r;
}

/// Of a value in 0 .. 1: its share of light. v^2.4 = u u^(1/5) with u = v^2.
MRF_CORE float lab_linear(float value) {
  const float v = (value + 0.055f) * (1.0f / 1.055f);
  const float square = v * v;
  return value <= 0.04045f ? value * (1.0f / 12.92f) : square * lab_fifth_root(square);
}

/// The function f of CIE 15: a cube root, and a line near zero.
MRF_CORE float lab_curve(float t) {
  const float root = lab_cube_root(t < 0.008856f ? 0.008856f : t);
  return t > 0.008856f ? root : 7.787f * t + 16.0f / 116.0f;
}

/// Of linear red, green and blue.
MRF_CORE Lab lab_of(float red, float green, float blue) {
  constexpr float kWhiteX = 0.95047f, kWhiteZ = 1.08883f;
  const float x =
      (0.412453f / kWhiteX) * red + (0.357580f / kWhiteX) * green + (0.180423f / kWhiteX) * blue;
  const float y = 0.212671f * red + 0.715160f * green + 0.072169f * blue;
  const float z =
      (0.019334f / kWhiteZ) * red + (0.119193f / kWhiteZ) * green + (0.950227f / kWhiteZ) * blue;
  const float fx = lab_curve(x), fy = lab_curve(y), fz = lab_curve(z);
  return {116.0f * fy - 16.0f, 500.0f * (fx - fy), 200.0f * (fy - fz)};
}

}  // namespace mrfcore
