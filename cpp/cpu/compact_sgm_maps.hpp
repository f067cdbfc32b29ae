// SPDX-License-Identifier: Apache-2.0
// From the winners of a row to its maps: labels of the right view, sub-pixel disparities, checks.
#pragma once

#include "cpu/compact_sgm.hpp"
#include "cpu/label_lanes.hpp"

namespace mrfcore::cpu::MRF_ISA {

inline constexpr float kNoDisparity = __builtin_nanf("");
inline constexpr int kNoLabel = 0xffff;

/// Lowest sums and labels of a row of the right view, mirrored and in stripes.
struct RightRow {
  uint16_t* sums;
  uint16_t* labels;
  int64_t stride, count;  ///< of a stripe: elements in memory, columns
  static constexpr int64_t kMargin = 2 * kWordLanes;

  uint16_t* stripe(uint16_t* of, int64_t s) const { return of + s * stride + kMargin; }
};

/// Of a row of the left view.
struct LeftRow {
  uint16_t* best;  ///< sums of the best label, the one before it, the one after it
  uint16_t* below;
  uint16_t* above;
  uint8_t* rivalled;
};

/// Labels of the right view's columns, the last one first; sums from `none` on mean none.
inline void mirrored_labels(const RightRow& right, int64_t stripes, int none, int64_t width,
                            uint16_t* to) {
  for (int64_t s = 0; s < stripes; ++s) {
    const uint16_t* sums = right.stripe(right.sums, s);
    const uint16_t* labels = right.stripe(right.labels, s);
    for (int64_t i = 0; i * stripes + s < width; ++i)
      to[i * stripes + s] = sums[i] < none ? labels[i] : static_cast<uint16_t>(kNoLabel);
  }
}

inline void write_right_labels(const uint16_t* mirrored, int64_t width, int32_t* out) {
  for (int64_t x = 0; x < width; ++x) {
    const int label = mirrored[width - 1 - x];
    out[x] = label == kNoLabel ? -1 : label;
  }
}

/// Minimum of the parabola through three sums, as in mrfcore.stereo.
inline void write_disparities(const CompactSgmArgs& a, const LeftRow& left, int64_t y) {
  const int32_t* labels = a.labels_out + y * a.width;
  float* out = a.disparity + y * a.width;
  const int last = a.labels - 1;
  for (int64_t x = 0; x < a.width; ++x) {
    const float here = left.best[x], below = left.below[x], above = left.above[x];
    const float bend = below - 2.0F * here + above;
    const bool bends = a.subpixel && bend > 0.0F && labels[x] > 0 && labels[x] < last;
    float offset = (below - above) / (2.0F * (bends ? bend : 1.0F));
    offset = offset < -0.5F ? -0.5F : offset > 0.5F ? 0.5F : offset;
    const auto whole = static_cast<float>(a.min_disparity + labels[x]);
    const float disparity = bends ? whole + offset : whole;
    out[x] = left.rivalled[x] ? kNoDisparity : disparity;
  }
}

/// Does a pixel's match point back at it?
inline void check_disparities(const CompactSgmArgs& a, const uint16_t* mirrored, int64_t y) {
  const int32_t* labels = a.labels_out + y * a.width;
  float* out = a.disparity + y * a.width;
  for (int64_t x = 0; x < a.width; ++x) {
    const int64_t match = a.width - 1 - x + a.min_disparity + labels[x];
    const bool inside = match >= 0 && match < a.width;
    const int back = inside ? mirrored[match] : kNoLabel;
    const int apart = back < labels[x] ? labels[x] - back : back - labels[x];
    if (back == kNoLabel || apart > a.max_difference) out[x] = kNoDisparity;
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
