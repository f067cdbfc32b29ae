// SPDX-License-Identifier: Apache-2.0
// Plain semi-global matching (Hirschmueller 2008) of rectified pairs in whole numbers: matching
// costs, paths, winners of both views, sub-pixel disparities and checks in one go, on the CPU.
// mrfcore/cuda_stereo.hpp does the same on a GPU.
#pragma once

#include <cstdint>
#include <functional>

#include "mrfcore/cost_volume.hpp"

namespace mrfcore {

/// One iteration of SGM and what is made of it, on either back-end.
struct StereoSgmOptions {
  /// Costs are min(cost, truncation, 255): whole numbers, so images are uint8 (census: float, too)
  /// and truncation and border are whole. scale is 1, accumulate false, num_disparities at most
  /// 256; not the squared costs on the CPU. Its `threads` are those of the whole on the CPU.
  CostVolumeOptions costs;
  int paths = 8;         ///< 4 or 8
  int64_t p1 = 30;       ///< of neighbours one label apart; both suit a census of 7 x 9 pixels
  int64_t p2 = 60;       ///< further apart; 0 <= p1 <= p2 <= 7936. Small ones take less memory
  bool subpixel = true;  ///< parabola through the sums of l - 1, l, l + 1
  /// Labels further than 1 from the best must cost (1 + uniqueness) times as much; 0: no check.
  double uniqueness = 0.0;
  /// The match of a pixel must point back at it, give or take max_difference.
  bool left_right_check = true;
  double max_difference = 1.0;
  std::function<bool()> interrupted{};  ///< CPU: asked now and then; true: throw Interrupted
};

struct StereoSgmOutputs {
  int32_t* labels = nullptr;   ///< [items, H, W], before all checks; required
  float* disparity = nullptr;  ///< [items, H, W] in pixels, NaN where a check fails; or null
  int32_t* right_labels =
      nullptr;  ///< [items, H, W] of the right view, -1: none can match; or null
};

/// Working memory of stereo_sgm(), whatever the number of pairs. A cell (pixel and label) takes 1
/// byte where p2 times half the paths is at most 255, else 2; labels are padded to vectors.
int64_t stereo_sgm_bytes(const ImageView& left, const StereoSgmOptions& options);

/// Of `items` pairs of images, one after the other in memory; ImageView gives the address of the
/// first and the size of each. Labels are those of cost_volume() and minimize() with Solver::SGM,
/// SGMPenalty(p1, p2), unit weights, one iteration, and the same for any number of threads and
/// instruction set. Keeps its working memory for the next call, where the system can take it back
/// when it needs it (Linux). Throws std::invalid_argument, naming the argument, OutOfMemory before
/// allocating, and Interrupted.
void stereo_sgm(const ImageView& left, const ImageView& right, int64_t items,
                const StereoSgmOptions& options, const StereoSgmOutputs& outputs);

}  // namespace mrfcore
