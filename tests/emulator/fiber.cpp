// SPDX-License-Identifier: Apache-2.0
#include "emulator/fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <utility>

#include "emulator/sanitizers.hpp"

#if defined(EMULATOR_ASAN)
#include <sanitizer/common_interface_defs.h>
#elif defined(EMULATOR_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace emulator {
namespace {

#if defined(EMULATOR_ASAN) || defined(EMULATOR_TSAN)
constexpr std::size_t kStackBytes = std::size_t{256} << 10;  // red zones around local arrays
#else
constexpr std::size_t kStackBytes = std::size_t{128} << 10;
#endif
constexpr std::size_t kColours = 32;
constexpr std::size_t kColourBytes = 128;

// ASan must know which stack is in use: before a switch the one to come, after it that it is there.
void announce_switch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* stack,
                     [[maybe_unused]] std::size_t bytes) {
#if defined(EMULATOR_ASAN)
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#endif
}

void finish_switch([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** old_stack,
                   [[maybe_unused]] std::size_t* old_bytes) {
#if defined(EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, old_stack, old_bytes);
#endif
}

void switch_thread_sanitizer([[maybe_unused]] void* to) {
#if defined(EMULATOR_TSAN)
  __tsan_switch_to_fiber(to, 0);
#endif
}

}  // namespace

Fiber::Fiber(std::size_t colour) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapping_.bytes = page + kStackBytes;
  void* memory = mmap(nullptr, mapping_.bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mapping_.memory = memory;
  mprotect(memory, page, PROT_NONE);
  stack_.memory = static_cast<char*>(memory) + page;
  stack_.bytes = kStackBytes - colour % kColours * kColourBytes;
  inside_.make(stack_.memory, stack_.bytes, &Fiber::main, this);
#if defined(EMULATOR_TSAN)
  thread_sanitizer_inside_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  job_ = nullptr;
  resume();
#if defined(EMULATOR_TSAN)
  __tsan_destroy_fiber(thread_sanitizer_inside_);
#endif
  munmap(mapping_.memory, mapping_.bytes);
}

void Fiber::start(Job job, void* argument) {
  job_ = job;
  argument_ = argument;
}

void Fiber::resume() {
  void* fake_stack = nullptr;
#if defined(EMULATOR_TSAN)
  thread_sanitizer_outside_ = __tsan_get_current_fiber();
#endif
  announce_switch(&fake_stack, stack_.memory, stack_.bytes);
  switch_thread_sanitizer(thread_sanitizer_inside_);
  Context::swap(outside_, inside_);
  finish_switch(fake_stack, nullptr, nullptr);
}

void Fiber::suspend() {
  leave(&inner_fake_);
  finish_switch(inner_fake_, &outer_stack_, &outer_bytes_);
}

void Fiber::leave(void** fake_stack) {
  announce_switch(fake_stack, outer_stack_, outer_bytes_);
  switch_thread_sanitizer(thread_sanitizer_outside_);
  Context::swap(inside_, outside_);
}

void Fiber::main(void* self) {
  auto& fiber = *static_cast<Fiber*>(self);
  finish_switch(nullptr, &fiber.outer_stack_, &fiber.outer_bytes_);
  fiber.run_jobs();
  fiber.leave(nullptr);  // null: the fake stack is given up
}

void Fiber::run_jobs() {
  while (job_ != nullptr) {
    job_(argument_);
    suspend();
  }
}

std::unique_ptr<Fiber> FiberPool::take() {
  if (idle_.empty()) return std::make_unique<Fiber>(made_++);
  auto fiber = std::move(idle_.back());
  idle_.pop_back();
  return fiber;
}

void FiberPool::give_back(std::unique_ptr<Fiber> fiber) { idle_.push_back(std::move(fiber)); }

}  // namespace emulator
