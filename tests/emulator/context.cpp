// SPDX-License-Identifier: Apache-2.0
#include "emulator/context.hpp"

#include <cstdint>

#if defined(MRF_EMULATOR_UCONTEXT)

namespace emulator {
namespace {

// makecontext() passes ints only: a pointer travels in two halves.
void enter(unsigned entry_high, unsigned entry_low, unsigned argument_high, unsigned argument_low) {
  const auto join = [](unsigned high, unsigned low) {
    return static_cast<std::uintptr_t>((std::uint64_t{high} << 32) | low);
  };
  reinterpret_cast<Context::Entry>(join(entry_high, entry_low))(
      reinterpret_cast<void*>(join(argument_high, argument_low)));
}

}  // namespace

void Context::make(void* stack, std::size_t stack_bytes, Entry entry, void* argument) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = stack_bytes;
  context_.uc_link = nullptr;
  const auto halves = [](auto pointer, int shift) {
    return static_cast<unsigned>(std::uint64_t{reinterpret_cast<std::uintptr_t>(pointer)} >> shift);
  };
  makecontext(&context_, reinterpret_cast<void (*)()>(enter), 4, halves(entry, 32),
              halves(entry, 0), halves(argument, 32), halves(argument, 0));
}

}  // namespace emulator

#else

// The System V ABI lets a call change all registers but these six and the stack pointer, so they
// are all there is to a suspended function. (The floating-point environment is the same for all.)
asm(R"(
.text
.p2align 4
.globl mrf_emulator_swap
.hidden mrf_emulator_swap
.type mrf_emulator_swap, @function
mrf_emulator_swap:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  retq
.size mrf_emulator_swap, .-mrf_emulator_swap

.p2align 4
.globl mrf_emulator_enter
.hidden mrf_emulator_enter
.type mrf_emulator_enter, @function
mrf_emulator_enter:
  .cfi_startproc
  .cfi_undefined rip
  movq %r12, %rdi
  callq *%rbx
  ud2
  .cfi_endproc
.size mrf_emulator_enter, .-mrf_emulator_enter
)");

extern "C" void mrf_emulator_enter();

namespace emulator {

void Context::make(void* stack, std::size_t stack_bytes, Entry entry, void* argument) {
  const auto top = (reinterpret_cast<std::uintptr_t>(stack) + stack_bytes) & ~std::uintptr_t{15};
  auto* frame = reinterpret_cast<void**>(top) - 9;  // 16-byte aligned where `entry` is called
  frame[0] = nullptr;                               // r15
  frame[1] = nullptr;                               // r14
  frame[2] = nullptr;                               // r13
  frame[3] = argument;                              // r12
  frame[4] = reinterpret_cast<void*>(entry);        // rbx
  frame[5] = nullptr;                               // rbp
  frame[6] = reinterpret_cast<void*>(mrf_emulator_enter);  // return address
  frame[7] = nullptr;                                      // keeps the stack aligned
  stack_pointer_ = frame;
}

}  // namespace emulator

#endif
