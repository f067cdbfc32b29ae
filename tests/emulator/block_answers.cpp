// SPDX-License-Identifier: Apache-2.0
// What a block does when threads wait: the results of collectives, and who waits in vain.
#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "emulator/block.hpp"

namespace emulator {
namespace {

const char* operation_name(Operation operation) {
  switch (operation) {
    case Operation::kSync:
      return "__syncwarp";
    case Operation::kShuffle:
      return "a shuffle";
    case Operation::kBallot:
      return "a vote";
    case Operation::kBlock:
      return "__syncthreads";
    case Operation::kBlockOr:
      return "__syncthreads_or";
    case Operation::kBlockAnd:
      return "__syncthreads_and";
    case Operation::kBlockCount:
      return "__syncthreads_count";
    case Operation::kGrid:
      return "the grid's barrier";
    default:
      return "a reduction";
  }
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

bool same_call(const Request& a, const Request& b) {
  return a.operation == b.operation && a.mask == b.mask && same_place(a.where, b.where);
}

std::uint64_t combine(Operation operation, std::uint64_t a, std::uint64_t b) {
  switch (operation) {
    case Operation::kMinimumSigned:
      return static_cast<std::int64_t>(b) < static_cast<std::int64_t>(a) ? b : a;
    case Operation::kMinimum:
      return std::min(a, b);
    case Operation::kMaximumSigned:
      return static_cast<std::int64_t>(b) > static_cast<std::int64_t>(a) ? b : a;
    case Operation::kMaximum:
      return std::max(a, b);
    case Operation::kAnd:
      return a & b;
    case Operation::kOr:
      return a | b;
    case Operation::kXor:
      return a ^ b;
    default:
      return a + b;
  }
}

std::string hexadecimal(unsigned mask) {
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[mask >> shift & 15U];
  return text;
}

}  // namespace

// Answers every complete group of lanes. True: some lane can go on.
bool Block::answer_warp(unsigned warp) {
  const Thread* lanes = &threads_[warp * kWarpLanes];
  unsigned waiting = 0;
  for (unsigned lane = 0; lane < lanes_of(warp); ++lane) {
    if (lanes[lane].state == State::kAtWarp) waiting |= 1U << lane;
  }
  if (waiting == 0) return false;
  bool answered = false;
  for (unsigned left = waiting; left != 0;) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    const unsigned mask = lanes[lane].request.mask;
    if ((mask & ~waiting) == 0 && together(warp, lanes[lane].request)) {
      answer_lanes(warp, mask);
      left &= ~mask;
      answered = true;
    } else {
      left &= ~(1U << lane);
    }
  }
  // A lane that has yielded may still come; others that wait elsewhere never will.
  if (!answered && !has_yielded(warp)) explain_stuck_warp(warp);
  return answered;
}

bool Block::together(unsigned warp, const Request& request) const {
  const Thread* lanes = &threads_[warp * kWarpLanes];
  for (unsigned left = request.mask; left != 0; left &= left - 1) {
    const Thread& other = lanes[std::countr_zero(left)];
    if (other.state != State::kAtWarp || !same_call(other.request, request)) return false;
  }
  return true;
}

void Block::answer_lanes(unsigned warp, unsigned mask) {
  Thread* lanes = &threads_[warp * kWarpLanes];
  const auto first = static_cast<unsigned>(std::countr_zero(mask));
  const Operation operation = lanes[first].request.operation;
  std::uint64_t all = lanes[first].request.argument;
  if (operation == Operation::kBallot) {
    all = 0;
    for (unsigned left = mask; left != 0; left &= left - 1) {
      const auto lane = static_cast<unsigned>(std::countr_zero(left));
      all |= lanes[lane].request.argument << lane;
    }
  } else if (operation != Operation::kSync && operation != Operation::kShuffle) {
    for (unsigned left = mask & (mask - 1); left != 0; left &= left - 1) {
      all = combine(operation, all, lanes[std::countr_zero(left)].request.argument);
    }
  }
  for (unsigned left = mask; left != 0; left &= left - 1) {
    Thread& thread = lanes[std::countr_zero(left)];
    thread.result =
        operation == Operation::kShuffle ? lanes[thread.request.source].request.argument : all;
    thread.state = State::kReady;
  }
  ++steps_;
}

bool Block::has_yielded(unsigned warp) const {
  const auto begin = threads_.begin() + warp * kWarpLanes;
  return std::any_of(begin, begin + lanes_of(warp),
                     [](const Thread& thread) { return thread.state == State::kYielded; });
}

// Called when no lane of the warp can go on: the first that waits is explained.
void Block::explain_stuck_warp(unsigned warp) const {
  const Thread* lanes = &threads_[warp * kWarpLanes];
  const Thread& stuck = *std::find_if(lanes, lanes + lanes_of(warp), [](const Thread& thread) {
    return thread.state == State::kAtWarp;
  });
  const std::string what =
      describe(stuck) + " with mask " + hexadecimal(stuck.request.mask) + ", lane ";
  for (unsigned left = stuck.request.mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    if (lane >= lanes_of(warp)) {
      fail(Fault::kMissingLane, stuck, what + std::to_string(lane) + " does not exist");
    }
    const std::string other = what + std::to_string(lane) + " " + describe(lanes[lane]);
    if (lanes[lane].state == State::kDone) fail(Fault::kMissingLane, stuck, other);
    if (lanes[lane].state != State::kAtWarp || !same_call(lanes[lane].request, stuck.request)) {
      fail(Fault::kDivergentWarp, stuck,
           other + (lanes[lane].state == State::kAtWarp
                        ? " with mask " + hexadecimal(lanes[lane].request.mask)
                        : ""));
    }
  }
  fail(Fault::kDivergentWarp, stuck, what + "unknown");
}

// No thread can go on by itself. Answers the block's barrier; else says why run() must return.
std::optional<Block::Progress> Block::answer_block() {
  std::size_t done = 0;
  std::size_t at_grid = 0;
  bool yielded = false;
  const Thread* waiting = nullptr;
  for (Thread& thread : threads_) {
    done += thread.state == State::kDone;
    at_grid += thread.state == State::kAtGrid;
    if (thread.state == State::kAtBlock && waiting == nullptr) waiting = &thread;
    if (thread.state == State::kYielded) {
      yielded = true;
      thread.state = State::kReady;
    }
  }
  if (yielded) return Progress::kYielded;
  if (done == threads_.size()) return Progress::kDone;
  if (at_grid == threads_.size()) return Progress::kAtGrid;
  if (waiting == nullptr) {
    waiting = &*std::find_if(threads_.begin(), threads_.end(),
                             [](const Thread& thread) { return thread.state == State::kAtGrid; });
  }
  const Thread& first = *waiting;
  unsigned count = 0;
  for (const Thread& thread : threads_) {
    if (thread.state != State::kAtBlock || !same_call(thread.request, first.request)) {
      explain_divergent_barrier(first, thread);
    }
    count += thread.request.argument != 0;
  }
  const Operation operation = first.request.operation;
  const std::uint64_t result = operation == Operation::kBlockCount ? count
                               : operation == Operation::kBlockAnd ? count == threads_.size()
                                                                   : count != 0;
  for (Thread& thread : threads_) {
    thread.result = result;
    thread.state = State::kReady;
  }
  ++steps_;
  return std::nullopt;
}

void Block::explain_divergent_barrier(const Thread& waiting, const Thread& other) const {
  fail(Fault::kDivergentBarrier, waiting,
       describe(waiting) + ", thread (" + std::to_string(other.index.x) + ", " +
           std::to_string(other.index.y) + ", " + std::to_string(other.index.z) + ") " +
           describe(other));
}

std::string Block::describe(const Thread& thread) const {
  if (thread.state == State::kDone) return "has exited";
  const auto& where = thread.request.where;
  const std::string file = where.file_name();
  return std::string("waits for ") + operation_name(thread.request.operation) + " at " +
         file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
}

}  // namespace emulator
