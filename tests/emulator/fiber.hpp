// SPDX-License-Identifier: Apache-2.0
// A function that can be suspended in the middle: what a CUDA thread is to the emulator.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "emulator/context.hpp"

namespace emulator {

class Fiber {
 public:
  using Job = void (*)(void* argument);

  // `colour` moves the stack by some cache lines, so that the stacks of a block do not share sets.
  explicit Fiber(std::size_t colour);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next resume() begins job(argument). No job may be under way. Jobs let no exception out.
  void start(Job job, void* argument);

  // Called outside: runs the job until it suspends itself or ends.
  void resume();

  // Called inside: returns at the next resume().
  void suspend();

 private:
  static void main(void* self);
  void run_jobs();
  void leave(void** fake_stack);

  struct Stack {
    void* memory = nullptr;
    std::size_t bytes = 0;
  };

  Context inside_;
  Context outside_;
  Stack mapping_;  // with a guard page at its low end
  Stack stack_;
  Job job_ = nullptr;
  void* argument_ = nullptr;
  // The sanitizers' ideas of the two stacks.
  const void* outer_stack_ = nullptr;
  std::size_t outer_bytes_ = 0;
  void* inner_fake_ = nullptr;
  void* thread_sanitizer_inside_ = nullptr;
  void* thread_sanitizer_outside_ = nullptr;
};

// Keeps idle fibers: making one takes system calls, and a launch needs hundreds.
class FiberPool {
 public:
  [[nodiscard]] std::unique_ptr<Fiber> take();
  void give_back(std::unique_ptr<Fiber> fiber);

 private:
  std::vector<std::unique_ptr<Fiber>> idle_;
  std::size_t made_ = 0;
};

}  // namespace emulator
