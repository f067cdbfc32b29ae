// SPDX-License-Identifier: Apache-2.0
// Running a block's threads; block_answers.cpp has what collectives do.
#include "emulator/block.hpp"

#include <algorithm>
#include <utility>

namespace emulator {
namespace {

// Unwinds the stack of a thread whose launch has failed.
struct Cancelled {};

// Shuffled warps change places after a few steps; in the other orders each goes as far as it can.
constexpr unsigned kMostStepsInARow = 4;

}  // namespace

constinit Registers registers;
constinit thread_local Thread* running = nullptr;

Block::Block(const Launch& launch, FiberPool& fibers)
    : launch_(launch),
      fibers_(fibers),
      shared_(launch.shared_bytes),
      threads_(launch.block.x * launch.block.y * launch.block.z),
      schedule_(schedule()),
      random_(schedule_.seed) {
  const dim3 size = launch.block;
  for (unsigned i = 0; i < threads_.size(); ++i) {
    threads_[i].block = this;
    threads_[i].number = i;
    threads_[i].index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    threads_[i].state = State::kDone;
    threads_[i].fiber = fibers.take();
  }
}

Block::~Block() {
  cancel();
  // Backwards, so that the next block's threads get the stacks in this one's order.
  for (auto thread = threads_.rbegin(); thread != threads_.rend(); ++thread) {
    fibers_.give_back(std::move(thread->fiber));
  }
}

void Block::start(uint3 index) {
  index_ = index;
  shared_.make_fresh();
  for (Thread& thread : threads_) {
    thread.state = State::kReady;
    thread.fiber->start(&Block::run_thread, &thread);
  }
}

Block::Progress Block::run() {
  const auto warps = static_cast<unsigned>((threads_.size() + kWarpLanes - 1) / kWarpLanes);
  const bool turns = schedule_.blocks_at_once > 1;
  const bool bounded = turns || schedule_.threads == Order::kShuffled;
  std::exception_ptr error;
  try {
    for (;;) {
      bool active = true;
      while (active) {
        active = false;
        make_order(warp_order_, warps, schedule_.threads, random_);
        for (const unsigned warp : warp_order_) {
          unsigned left = bounded ? 1 + random_.below(kMostStepsInARow) : ~0U;
          while (step_warp(warp) && --left > 0) {
          }
          active |= left == 0;
        }
        if (turns && active) return Progress::kYielded;
      }
      if (const auto progress = answer_block()) return *progress;
      if (turns) return Progress::kYielded;
    }
  } catch (...) {
    error = std::current_exception();
  }
  cancel();
  std::rethrow_exception(error);
}

// Runs the warp's lanes until each waits, and answers what can be answered. False: nobody can go
// on.
bool Block::step_warp(unsigned warp) {
  make_order(lane_order_, lanes_of(warp), schedule_.threads, random_);
  for (const unsigned lane : lane_order_) {
    Thread& thread = threads_[warp * kWarpLanes + lane];
    if (thread.state == State::kReady) resume(thread);
  }
  return answer_warp(warp);
}

void Block::resume(Thread& thread) {
  registers.thread = thread.index;
  registers.block = index_;
  running = &thread;
  thread.fiber->resume();
  running = nullptr;
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  const bool last_look = thread.state == State::kDone;
  if (!shared_.edges_intact() || (last_look && !shared_.intact())) {
    fail(Fault::kSharedOutOfBounds, thread,
         "the memory next to the " + std::to_string(launch_.shared_bytes) +
             " bytes asked for has changed");
  }
}

void Block::run_thread(void* argument) {
  auto& thread = *static_cast<Thread*>(argument);
  Block& block = *thread.block;
  if (!block.cancelled_) {
    try {
      block.launch_.call(block.launch_.arguments);
    } catch (const Cancelled&) {  // as intended
    } catch (...) {
      block.thrown_ = std::current_exception();
    }
  }
  thread.state = State::kDone;
  ++block.steps_;
}

void Block::cancel() {
  cancelled_ = true;
  for (Thread& thread : threads_) {
    if (thread.state == State::kDone) continue;
    running = &thread;
    thread.fiber->resume();
    running = nullptr;
  }
}

std::uint64_t Block::wait(Thread& thread, State state, const Request& request) {
  // A destructor that runs while the thread unwinds may come here and must not wait.
  if (cancelled_) return 0;
  thread.state = state;
  thread.request = request;
  thread.fiber->suspend();
  if (cancelled_) throw Cancelled{};
  return thread.result;
}

void Block::yield(Thread& thread) { wait(thread, State::kYielded, {}); }

void Block::leave_grid_barrier() {
  for (Thread& thread : threads_) {
    if (thread.state == State::kAtGrid) thread.state = State::kReady;
  }
  ++steps_;
}

unsigned Block::lanes_of(unsigned warp) const {
  return std::min(kWarpLanes, static_cast<unsigned>(threads_.size()) - warp * kWarpLanes);
}

void Block::fail(Fault fault, const Thread& thread, const std::string& why) const {
  throw Error(fault, {launch_.name, index_, thread.index}, why);
}

}  // namespace emulator
