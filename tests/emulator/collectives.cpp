// SPDX-License-Identifier: Apache-2.0
#include "emulator/collectives.hpp"

#include <string>

#include "emulator/block.hpp"

namespace emulator {
namespace {

Thread& caller() {
  if (running == nullptr) {
    throw Error(Fault::kUnsupported, {"(none)", {}, {}}, "a collective outside a kernel");
  }
  return *running;
}

std::string at(const Where& where) {
  const std::string file = where.file_name();
  return " at " + file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
}

unsigned lane_of(const Thread& thread) { return thread.number % kWarpLanes; }

std::uint64_t wait_for_warp(unsigned mask, Operation operation, std::uint64_t argument,
                            unsigned source, const Where& where) {
  Thread& thread = caller();
  if ((mask >> lane_of(thread) & 1U) == 0) {
    thread.block->fail(Fault::kLaneNotInMask, thread,
                       "lane " + std::to_string(lane_of(thread)) + at(where));
  }
  return thread.block->wait(thread, Thread::State::kAtWarp,
                            {operation, mask, source, argument, where});
}

// The lane that a shuffle reads, as PTX defines shfl.sync: beyond the segment it is one's own.
unsigned source_lane(unsigned lane, Direction direction, int operand, unsigned width) {
  const unsigned first = lane & ~(width - 1);
  const unsigned last = first + width - 1;
  const unsigned distance = static_cast<unsigned>(operand) % kWarpLanes;
  switch (direction) {
    case Direction::kIndex:
      return first + (static_cast<unsigned>(operand) & (width - 1));
    case Direction::kUp:
      return lane >= first + distance ? lane - distance : lane;
    case Direction::kDown:
      return lane + distance <= last ? lane + distance : lane;
    default:
      return (lane ^ distance) <= last ? lane ^ distance : lane;
  }
}

Operation operation_of(Reduction reduction, bool is_signed) {
  switch (reduction) {
    case Reduction::kMinimum:
      return is_signed ? Operation::kMinimumSigned : Operation::kMinimum;
    case Reduction::kMaximum:
      return is_signed ? Operation::kMaximumSigned : Operation::kMaximum;
    case Reduction::kSum:
      return Operation::kSum;
    case Reduction::kAnd:
      return Operation::kAnd;
    case Reduction::kOr:
      return Operation::kOr;
    default:
      return Operation::kXor;
  }
}

Operation operation_of(BlockVote vote) {
  switch (vote) {
    case BlockVote::kOr:
      return Operation::kBlockOr;
    case BlockVote::kAnd:
      return Operation::kBlockAnd;
    case BlockVote::kCount:
      return Operation::kBlockCount;
    default:
      return Operation::kBlock;
  }
}

}  // namespace

void sync_warp(unsigned mask, const Where& where) {
  wait_for_warp(mask, Operation::kSync, 0, 0, where);
}

int sync_block(BlockVote vote, bool predicate, const Where& where) {
  Thread& thread = caller();
  return static_cast<int>(thread.block->wait(thread, Thread::State::kAtBlock,
                                             {operation_of(vote), 0, 0, predicate, where}));
}

void sync_grid(const Where& where) {
  Thread& thread = caller();
  if (!thread.block->launch().cooperative) {
    thread.block->fail(Fault::kUnsupported, thread,
                       "the grid's barrier in a launch that is not cooperative" + at(where));
  }
  thread.block->wait(thread, Thread::State::kAtGrid, {Operation::kGrid, 0, 0, 0, where});
}

unsigned ballot(unsigned mask, bool predicate, const Where& where) {
  return static_cast<unsigned>(wait_for_warp(mask, Operation::kBallot, predicate, 0, where));
}

std::uint64_t reduce(unsigned mask, Reduction reduction, bool is_signed, std::uint64_t value,
                     const Where& where) {
  return wait_for_warp(mask, operation_of(reduction, is_signed), value, 0, where);
}

std::uint64_t shuffle(unsigned mask, std::uint64_t value, Direction direction, int operand,
                      int width, const Where& where) {
  const Thread& thread = caller();
  if (width < 1 || width > static_cast<int>(kWarpLanes) || (width & (width - 1)) != 0) {
    thread.block->fail(Fault::kBadArgument, thread,
                       "a shuffle's width is " + std::to_string(width) +
                           "; expected 1, 2, 4, 8, 16 or 32" + at(where));
  }
  const unsigned lane = lane_of(thread);
  const unsigned source = source_lane(lane, direction, operand, static_cast<unsigned>(width));
  if ((mask >> lane & 1U) != 0 && (mask >> source & 1U) == 0) {
    thread.block->fail(
        Fault::kShuffleSource, thread,
        "lane " + std::to_string(lane) + " reads lane " + std::to_string(source) + at(where));
  }
  return wait_for_warp(mask, Operation::kShuffle, value, source, where);
}

void yield_thread() {
  Thread& thread = caller();
  thread.block->yield(thread);
}

}  // namespace emulator
