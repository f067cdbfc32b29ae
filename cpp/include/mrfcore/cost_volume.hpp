// SPDX-License-Identifier: Apache-2.0
//
// Matching costs of a rectified stereo pair. Label l stands for the disparity
// d = min_disparity + l, and pixel (y, x) of the left (reference) image is compared with pixel
// (y, x - d) of the right one. Volumes are [height, width, num_disparities] float, labels
// contiguous.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

namespace mrfcore {

enum class StereoCost {
  /// Birchfield & Tomasi (1998), insensitive to sampling: the smaller of the distances of one pixel
  /// to the other's interval of half-way interpolated values, summed over channels.
  /// On uint8 the half-way values are integers, (a + b) >> 1.
  BirchfieldTomasi,
  /// The same dissimilarity, squared in each channel before the sum.
  BirchfieldTomasiSquared,
  /// sum_c |L_c - R_c|
  Absolute,
  /// sum_c (L_c - R_c)^2
  Squared,
  /// Hamming distance of census codes (Zabih & Woodfill 1994). Bit = neighbour darker than the
  /// centre; windows that leave the image see its border pixels repeated. RGB images are compared
  /// by their luma (299 R + 587 G + 114 B) / 1000, rounded on uint8.
  Census,
};

enum class PixelType { UInt8, Float32 };

/// A dense image: rows top to bottom, channels interleaved, no padding.
struct ImageView {
  const void* data = nullptr;
  PixelType type = PixelType::UInt8;
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 1;  ///< 1 or 3
};

struct CostVolumeOptions {
  StereoCost cost = StereoCost::BirchfieldTomasi;
  int64_t num_disparities = 0;
  int64_t min_disparity = 0;  ///< may be negative
  /// Costs inside the image are min(cost, truncation).
  float truncation = std::numeric_limits<float>::infinity();
  /// Cost where x - d leaves the right image, written as it is. Unset: min(truncation, worst_cost).
  std::optional<float> border = std::nullopt;
  /// out = scale * cost, or out += scale * cost: blends costs without a second volume. Applies to
  /// costs inside the image and to the border alike.
  float scale = 1.0F;
  bool accumulate = false;
  int64_t window_height = 7;  ///< census window, odd; at most 65 pixels, that is 64 bits
  int64_t window_width = 9;
  int threads = 0;  ///< 0: MRFCORE_NUM_THREADS, else OpenMP's default
};

/// The greatest cost a cell can take on 0..255 images: 255 per channel (255^2 if squared, the
/// number of bits for census).
float worst_cost(StereoCost cost, int64_t channels, int64_t window_height, int64_t window_width);

/// Writes the [height, width, num_disparities] volume to `out`. Float images are on the 0..255
/// scale. The result does not depend on the number of threads or the instruction set. Throws
/// std::invalid_argument, naming the argument, when sizes, types or options do not fit.
void cost_volume(const ImageView& left, const ImageView& right, const CostVolumeOptions& options,
                 float* out);

/// For every pixel (y, x) of the right image the lowest cost min_l costs[y, x + min_disparity + l,
/// l] and its label (the lowest one on ties): the right view's winner read along the diagonals of
/// the left view's volume. Where no label stays inside the left image: label -1, cost +infinity.
/// labels and costs_out are [height, width]; costs_out may be null.
void right_view_minimum(const float* costs, int64_t height, int64_t width, int64_t num_disparities,
                        int64_t min_disparity, int threads, int32_t* labels, float* costs_out);

/// The right view's volume out[y, x, l] = costs[y, x + min_disparity + l, l], `border` where that
/// leaves the left image. For symmetric costs (all of StereoCost) this equals a second cost_volume.
void right_view_volume(const float* costs, int64_t height, int64_t width, int64_t num_disparities,
                       int64_t min_disparity, float border, int threads, float* out);

}  // namespace mrfcore
