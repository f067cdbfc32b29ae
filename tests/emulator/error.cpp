// SPDX-License-Identifier: Apache-2.0
#include "emulator/error.hpp"

#include <utility>

namespace emulator {
namespace {

std::string triple(uint3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
         std::to_string(index.z) + ")";
}

std::string message(Fault fault, const Place& place, const std::string& explanation) {
  return std::string(fault_name(fault)) + ": kernel " + place.kernel + ", block " +
         triple(place.block) + ", thread " + triple(place.thread) + ": " + explanation;
}

}  // namespace

const char* fault_name(Fault fault) {
  switch (fault) {
    case Fault::kDivergentBarrier:
      return "divergent barrier";
    case Fault::kDivergentWarp:
      return "divergent warp";
    case Fault::kMissingLane:
      return "mask names a missing lane";
    case Fault::kLaneNotInMask:
      return "calling lane is not in its mask";
    case Fault::kShuffleSource:
      return "shuffle from a lane that is not in the mask";
    case Fault::kBadArgument:
      return "bad argument";
    case Fault::kSharedOutOfBounds:
      return "shared memory written out of bounds";
    case Fault::kLaunchConfiguration:
      return "launch configuration";
    case Fault::kUnsupported:
      return "unsupported";
    case Fault::kNoProgress:
      return "no progress";
  }
  return "unknown fault";
}

Error::Error(Fault fault, Place place, const std::string& explanation)
    : std::runtime_error(message(fault, place, explanation)),
      fault_(fault),
      place_(std::move(place)) {}

}  // namespace emulator
