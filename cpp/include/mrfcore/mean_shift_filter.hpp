// SPDX-License-Identifier: Apache-2.0
//
// Mean-shift filtering and segmentation of images in the joint domain of place and colour
// (Comaniciu & Meer 2002).
#pragma once

#include <cstdint>
#include <functional>

#include "mrfcore/cost_volume.hpp"

namespace mrfcore {

enum class FilterKernel {
  /// 1 where the colours' Euclidean distance is at most color_radius.
  Flat,
  /// The same, times exp(-2 (place / spatial_radius)^2 - 2 (colour / color_radius)^2): standard
  /// deviations of half the radii.
  Gaussian,
};

enum class FilterSpace {
  RGB,  ///< channels as they are
  LUV,  ///< CIE L*u*v* of sRGB (D65), L* 0..100; three channels
};

/// Largest window is 2 * kMostSpatialRadius + 1 pixels wide.
inline constexpr int kMostSpatialRadius = 1024;
inline constexpr int kMostFilterLevels = 8;

struct MeanShiftFilterOptions {
  int spatial_radius = 10;   ///< 1 .. kMostSpatialRadius; the window is a square
  double color_radius = 20;  ///< finite, > 0; units of the colour space
  FilterKernel kernel = FilterKernel::Flat;
  int iterations = 5;      ///< >= 0, at most so many moves of a pixel
  double tolerance = 1.0;  ///< >= 0; see mean_shift_filter()
  /// 0 .. kMostFilterLevels. More than 0: the image is halved so often; smaller images are filtered
  /// first, with halved windows, and larger ones where the smaller result is not flat.
  int levels = 0;
  FilterSpace space = FilterSpace::RGB;
  int threads = 0;                      ///< 0: MRFCORE_NUM_THREADS, else OpenMP's default
  std::function<bool()> interrupted{};  ///< asked now and then; true: throw Interrupted
};

/// Every pixel's place and colour move to the mean of the pixels around the place whose colours are
/// near; out, of the image's shape and type, gets the colour where the move ends. Places are
/// rounded to pixels after every move, and so are colours of uint8 images with the flat kernel in
/// RGB (halves to even); all other colours are float32, rounded at the end for uint8. A pixel stops
/// after `iterations` moves, after a move that leaves its place, or after one with
/// |dx| + |dy| + |dcolour|^2 <= tolerance. uint8, flat, RGB and levels = 0 is OpenCV's
/// pyrMeanShiftFiltering. The result does not depend on the number of threads or the instruction
/// set. Throws std::invalid_argument, naming the argument, and Interrupted.
void mean_shift_filter(const ImageView& image, const MeanShiftFilterOptions& options, void* out);

/// Regions of a filtered image: neighbours (4) whose values are at most color_radius apart belong
/// together; with FilterSpace::LUV values are converted before. Regions of fewer than min_size
/// pixels join the neighbour with the nearest mean value, smallest first. ids [height, width]: 0 ..
/// number - 1 in the order of their first pixels. Returns their number. Throws
/// std::invalid_argument.
int64_t mean_shift_regions(const ImageView& filtered, double color_radius, int64_t min_size,
                           FilterSpace space, int32_t* ids);

}  // namespace mrfcore
