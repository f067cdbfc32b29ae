// SPDX-License-Identifier: Apache-2.0
// What compact SGM keeps in its scratch memory, and in which type.
//
// A path cost is the pixel's cost plus a message, L_r = C + M_r, and messages are at most p2
// whatever the costs: they fit a byte far more often, and the sum over paths is D C + sum M_r.
// Where two of them fit (p2 <= 127, and always in 16 bits), those of a pair are stored as their
// sum.
#pragma once

#include <cstdint>

#include "packed_row.cuh"
#include "stereo_kernels.hpp"

namespace mrfcore::cuda {

struct CompactLayout {
  bool valid;
  bool whole;       ///< costs of a lane are aligned words
  bool wide;        ///< 16 bits per message
  bool paired;      ///< a volume for each pair of directions, else for each direction
  int volumes;      ///< per item
  int row;          ///< elements of a pixel's row in them: labels, padded to whole words
  int64_t volume;   ///< elements of a volume
  int64_t keys_at;  ///< bytes before the right view's keys
  int64_t bytes;
};

inline CompactLayout compact_layout(const CompactSgm& a, int64_t items) {
  CompactLayout layout{};
  layout.valid = a.stride >= a.labels && a.labels >= 1 && a.labels <= kMostCompactLabels &&
                 (a.paths == 4 || a.paths == 8) && a.p1 >= 0 && a.p1 <= a.p2 &&
                 a.p2 <= kMostCompactPenalty && a.height >= 1 && a.width >= 1;
  if (!layout.valid) return layout;
  const int per_lane = compact_labels_per_lane(a.labels);
  layout.row = compact_stride(a.labels);
  layout.whole = a.stride >= layout.row && a.stride % per_lane == 0 &&
                 reinterpret_cast<uintptr_t>(a.costs) % static_cast<unsigned>(per_lane) == 0;
  layout.wide = a.p2 > 255;
  layout.paired = layout.wide || 2 * a.p2 <= 255;
  layout.volumes = layout.paired ? a.paths / 2 : a.paths;
  layout.volume = a.height * a.width * layout.row;
  const int64_t size = items * layout.volumes * layout.volume * (layout.wide ? 2 : 1);
  layout.keys_at = (size + 15) / 16 * 16;
  layout.bytes = layout.keys_at + items * a.height * a.width * static_cast<int64_t>(sizeof(int));
  return layout;
}

/// body.template operator()<K>() with K labels in each lane.
template <class Body>
int with_packed_labels(int labels, const Body& body) {
  const int per_lane = compact_labels_per_lane(labels);
  if (per_lane == 2) return body.template operator()<2>();
  if (per_lane == 4) return body.template operator()<4>();
  return body.template operator()<8>();
}

}  // namespace mrfcore::cuda
