// SPDX-License-Identifier: Apache-2.0
// What public functions on a GPU share: checks, memory handed out by an arena, and batches that are
// worked on in parts, as many items side by side as a workspace holds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

// First: its table takes addresses of kernels, some of which are called as public functions.
#include "device/library.hpp"

#include "mrfcore/cuda.hpp"
#include "mrfcore/error.hpp"
#include "ops/buffer.hpp"

namespace mrfcore::cuda {

inline constexpr int64_t kMostItems = 65535;    ///< a grid's second extent
inline constexpr int64_t kArenaAlignment = 64;  ///< of what an arena hands out

inline void expect_memory(const char* name, const void* data) {
  if (data == nullptr) throw std::invalid_argument(std::string(name) + " has no data");
}

/// Bytes of `size` when an arena hands them out from anywhere.
inline int64_t aligned(int64_t size) { return size == 0 ? 0 : size + kArenaAlignment; }

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

/// run(functions, first item, number of items, scratch memory), a cudaError_t, for parts of a
/// batch; scratch(n): aligned() bytes for n items.
template <class Scratch, class Run>
void in_parts(int64_t batch, const Queue& queue, const char* what, const Scratch& scratch,
              const Run& run) {
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  const int64_t at_a_time = items_at_a_time(batch, queue, "one image", scratch);
  for (int64_t first = 0; first < batch; first += at_a_time) {
    const int64_t count = std::min(at_a_time, batch - first);
    Arena arena(queue.workspace, queue.workspace_bytes);
    const int64_t bytes = scratch(count);
    void* memory = bytes == 0 ? nullptr : arena.take(bytes - kArenaAlignment);
    check(functions, run(functions, first, count, memory), what);
  }
}

}  // namespace mrfcore::cuda
