// SPDX-License-Identifier: Apache-2.0
// What the emulator reports when a kernel breaks a rule of the CUDA programming model.
#pragma once

#include <stdexcept>
#include <string>

#include "emulator/vector_types.hpp"

namespace emulator {

enum class Fault {
  kDivergentBarrier,     // __syncthreads() that some thread of the block does not reach
  kDivergentWarp,        // a lane that the mask names waits elsewhere
  kMissingLane,          // the mask names a lane that has exited or does not exist
  kLaneNotInMask,        // the mask does not name the calling lane
  kShuffleSource,        // the value would come from a lane that the mask does not name
  kBadArgument,          // e.g. a shuffle's width that is no power of two
  kSharedOutOfBounds,    // something was written next to the block's shared memory
  kLaunchConfiguration,  // sizes that a GPU refuses
  kUnsupported,          // used where it means nothing: outside a kernel, grid barrier without grid
  kNoProgress,           // threads spin for what no thread will do
};

[[nodiscard]] const char* fault_name(Fault fault);

// Where it happened. Errors of a launch have block and thread (0, 0, 0).
struct Place {
  std::string kernel;
  uint3 block{};
  uint3 thread{};
};

class Error : public std::runtime_error {
 public:
  Error(Fault fault, Place place, const std::string& explanation);

  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] const Place& place() const { return place_; }

 private:
  Fault fault_;
  Place place_;
};

}  // namespace emulator
