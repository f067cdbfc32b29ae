// SPDX-License-Identifier: Apache-2.0
// Batches that are worked on in parts: as many items side by side as a workspace holds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "mrfcore/cuda.hpp"
#include "mrfcore/error.hpp"

namespace mrfcore::cuda {

inline constexpr int64_t kMostItems = 65535;  ///< a grid's second extent

/// needed(n): bytes for n items. Throws OutOfMemory where there is no room for one, `item`.
template <class Needed>
int64_t items_at_a_time(int64_t items, const Queue& queue, const char* item, const Needed& needed) {
  int64_t some = std::min(items, kMostItems);
  while (some > 1 && needed(some) > queue.workspace_bytes) some = (some + 1) / 2;
  if (const int64_t bytes = needed(some); bytes > queue.workspace_bytes) {
    throw OutOfMemory("workspace: expected at least " + std::to_string(bytes) + " bytes for " +
                      item + ", got " + std::to_string(queue.workspace_bytes));
  }
  return some;
}

}  // namespace mrfcore::cuda
