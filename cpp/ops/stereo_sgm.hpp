// SPDX-License-Identifier: Apache-2.0
// Checks and arguments of semi-global matching, for both back-ends.
#pragma once

#include "mrfcore/stereo_sgm.hpp"
#include "ops/cost_volume.hpp"

namespace mrfcore {

inline constexpr int64_t kMostSgmLabels = 256;
/// Sums of 8 path costs must fit 16 bits.
inline constexpr int64_t kMostSgmPenalty = 65535 / 8 - 255;

/// All options, and what makes costs whole numbers in a byte. Throws std::invalid_argument.
void check_stereo_sgm(const ImageView& left, const ImageView& right, int64_t items,
                      const StereoSgmOptions& options);

/// Costs truncated at 255 before the border is derived.
cpu::CostVolumeArgs byte_cost_args(const ImageView& left, const ImageView& right,
                                   CostVolumeOptions costs);

/// Image `item` of a batch.
ImageView item_of(ImageView image, int64_t item);

}  // namespace mrfcore
