// SPDX-License-Identifier: Apache-2.0
// Stereo on the GPU: matching costs, and semi-global matching that stays in bytes. Conventions are
// those of kernels.hpp: device pointers, launches on `stream`, nothing allocated or waited for, a
// cudaError_t returned. Batches are dense: item i of images, volumes and maps follows item i - 1.
#pragma once

#include <cstdint>

#include "cpu/cost_volume.hpp"
#include "kernels.hpp"

namespace mrfcore::cuda {

// --- Matching costs (census.cu, cost_volume.cu) --------------------------------------------------

/// Bytes of `codes`, for census costs only: a 64-bit code for every pixel of both images.
inline int64_t census_bytes(int64_t height, int64_t width, int64_t items) {
  return 2 * items * height * width * static_cast<int64_t>(sizeof(uint64_t));
}

/// Census codes [2][items, H, W], of the left images and then of the right ones. Of the arguments
/// images, sizes, type, channels and window are used; the window has at most 65 pixels.
int census_codes(const cpu::CostVolumeArgs& args, int64_t items, uint64_t* codes, Stream stream);

/// The volumes [items, H, W, D] of mrfcore::cost_volume, to the bit, for finite images. Images are
/// [items, H, W, C]; `channels` may be 3 for census, too; `threads` is not used. codes: scratch of
/// census_bytes(), or null for other costs.
int cost_volume(const cpu::CostVolumeArgs& args, int64_t items, uint64_t* codes, Stream stream);

/// The same costs as whole numbers 0..255, for compact_sgm(): min(cost, truncation, 255), `border`
/// (in 0..255) outside. Neither scale nor accumulate. Refuses costs that are no whole numbers:
/// float images, unless for census. Rows of labels are `stride` bytes apart. args.out is not used.
int byte_cost_volume(const cpu::CostVolumeArgs& args, int64_t items, uint64_t* codes, uint8_t* out,
                     int64_t stride, Stream stream);

/// mrfcore::right_view_minimum, to the bit; minima may be null.
int right_view_minimum(const cpu::RightViewArgs& args, int64_t items, int32_t* labels,
                       float* minima, Stream stream);
/// mrfcore::right_view_volume.
int right_view_volume(const cpu::RightViewArgs& args, int64_t items, float border, float* out,
                      Stream stream);

// --- Compact semi-global matching (sgm_compact.cu, sgm_winners.cu) -------------------------------

inline constexpr int kMostCompactLabels = 256;
/// Sums of 8 path costs must fit 16 bits.
inline constexpr int kMostCompactPenalty = 65535 / 8 - 255;

/// Labels that a lane of a warp has, and reads as one word.
inline int compact_labels_per_lane(int labels) {
  return labels <= 64 ? 2 : (labels <= 128 ? 4 : 8);
}
/// Best distance of rows of byte costs: whole words; what is beyond the labels has no effect. Other
/// distances, and costs that begin at odd addresses, may be read byte by byte.
inline int compact_stride(int labels) {
  const int per_lane = compact_labels_per_lane(labels);
  return (labels + per_lane - 1) / per_lane * per_lane;
}

/// One iteration of SGM with SGMPenalty(p1, p2) and unit weights on costs that are bytes: sums of
/// path costs and labels are those of minimize() with Solver::SGM on the same costs.
struct CompactSgm {
  int64_t height, width;
  int labels;            ///< 1 .. kMostCompactLabels
  int paths;             ///< 4 or 8
  int p1, p2;            ///< 0 <= p1 <= p2 <= kMostCompactPenalty
  int64_t stride;        ///< of the costs, >= labels
  const uint8_t* costs;  ///< [items, H, W, stride]
  void* scratch;         ///< of compact_sgm_bytes(), aligned to 16 bytes
};

/// Bytes of CompactSgm::scratch. Per cell and path, 1/2 if p2 <= 127, else 1; 0 if arguments are
/// refused.
int64_t compact_sgm_bytes(const CompactSgm& args, int64_t items);

/// The paths: leaves messages in scratch.
int compact_sgm(const CompactSgm& args, int64_t items, Stream stream);

/// What is made of the sums, in the way of mrfcore.stereo.match. Maps are [items, H, W]; those that
/// are null are not made.
struct CompactWinners {
  int64_t min_disparity;
  int32_t* labels;        ///< lowest of the best; required
  uint16_t* sums;         ///< [items, H, W, L]
  int32_t* right_labels;  ///< of the right view, by the sums' diagonals; -1 where none can match
  float* disparity;       ///< in pixels; NaN where a check fails
  bool subpixel;          ///< parabola through the sums of three neighbouring labels
  double uniqueness;  ///< labels further than 1 cost at least (1 + uniqueness) as much; 0: no check
  bool left_right_check;  ///< |label - label of its match in the right view| <= max_difference
  double max_difference;
};

/// After compact_sgm() with the same arguments, any number of times.
int compact_sgm_winners(const CompactSgm& args, const CompactWinners& winners, int64_t items,
                        Stream stream);

}  // namespace mrfcore::cuda
