// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "mrfcore/cuda.hpp"
#include "mrfcore/error.hpp"

namespace mrfcore::cuda {

/// Throws OutOfMemory.
inline void expect_workspace(const Queue& queue, int64_t bytes) {
  const int64_t found = queue.workspace == nullptr ? 0 : queue.workspace_bytes;
  if (found < bytes) {
    throw OutOfMemory("workspace: expected at least " + std::to_string(bytes) + " bytes, got " +
                      std::to_string(found));
  }
}

}  // namespace mrfcore::cuda
