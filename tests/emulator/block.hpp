// SPDX-License-Identifier: Apache-2.0
// One block of threads: runs them from collective to collective and answers these.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

#include "emulator/error.hpp"
#include "emulator/fiber.hpp"
#include "emulator/random.hpp"
#include "emulator/registers.hpp"
#include "emulator/settings.hpp"
#include "emulator/shared_memory.hpp"

namespace emulator {

constexpr unsigned kWarpLanes = 32;

struct Launch {
  const char* name;
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes;
  bool cooperative;
  Fiber::Job call;  // call(arguments) is one thread's run of the kernel
  void* arguments;
};

enum class Operation : std::uint8_t {
  kSync,  // __syncwarp
  kShuffle,
  kBallot,
  kMinimumSigned,
  kMinimum,
  kMaximumSigned,
  kMaximum,
  kSum,
  kAnd,
  kOr,
  kXor,
  kBlock,  // __syncthreads, and with a predicate
  kBlockOr,
  kBlockAnd,
  kBlockCount,
  kGrid,
};

// What a thread that has arrived at a collective asks for.
struct Request {
  Operation operation;
  unsigned mask;           // of lanes that take part (warp)
  unsigned source;         // lane that the value comes from (shuffle)
  std::uint64_t argument;  // value or predicate
  std::source_location where;
};

class Block;

struct Thread {
  enum class State : std::uint8_t { kReady, kAtWarp, kAtBlock, kAtGrid, kYielded, kDone };

  Block* block;
  unsigned number;  // within the block
  uint3 index;
  State state;
  Request request;
  std::uint64_t result;
  std::unique_ptr<Fiber> fiber;
};

// The CUDA thread that runs on this thread of the host; null outside kernels.
extern constinit thread_local Thread* running;

class Block {
 public:
  enum class Progress { kDone, kAtGrid, kYielded };

  Block(const Launch& launch, FiberPool& fibers);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void start(uint3 index);

  // Runs until all threads are done, all wait for the grid, those that could run have yielded, or
  // (Schedule::blocks_at_once > 1) it is another block's turn.
  // Throws what a thread threw, or the Error that was found; no thread is under way any more then.
  Progress run();

  // Lets the threads that wait for the grid go on.
  void leave_grid_barrier();

  // Ends all threads: what waits, unwinds.
  void cancel();

  // Counts finished collectives and threads: while it stands still, threads only spin.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  [[nodiscard]] const Launch& launch() const { return launch_; }
  [[nodiscard]] unsigned char* shared() const { return shared_.data(); }

  // For the running thread.
  std::uint64_t wait(Thread& thread, Thread::State state, const Request& request);
  void yield(Thread& thread);
  [[noreturn]] void fail(Fault fault, const Thread& thread, const std::string& why) const;

 private:
  using State = Thread::State;

  static void run_thread(void* thread);
  void resume(Thread& thread);

  bool step_warp(unsigned warp);
  bool answer_warp(unsigned warp);
  [[nodiscard]] bool together(unsigned warp, const Request& request) const;
  void answer_lanes(unsigned warp, unsigned mask);
  [[noreturn]] void explain_stuck_warp(unsigned warp) const;
  [[nodiscard]] bool has_yielded(unsigned warp) const;

  std::optional<Progress> answer_block();
  [[noreturn]] void explain_divergent_barrier(const Thread& waiting, const Thread& other) const;
  [[nodiscard]] std::string describe(const Thread& thread) const;
  [[nodiscard]] unsigned lanes_of(unsigned warp) const;

  const Launch& launch_;
  FiberPool& fibers_;
  SharedMemory shared_;
  std::vector<Thread> threads_;
  std::vector<unsigned> warp_order_;
  std::vector<unsigned> lane_order_;
  Schedule schedule_;
  Random random_;
  uint3 index_{};
  std::uint64_t steps_ = 0;
  bool cancelled_ = false;
  std::exception_ptr thrown_;
};

}  // namespace emulator
