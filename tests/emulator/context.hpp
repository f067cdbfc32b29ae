// SPDX-License-Identifier: Apache-2.0
// Switching between stacks: a few instructions on x86-64, ucontext elsewhere (or anywhere, with
// MRF_EMULATOR_UCONTEXT; it is ten times slower, as it saves the signal mask by a system call).
#pragma once

#include <cstddef>

#if !defined(__x86_64__) && !defined(MRF_EMULATOR_UCONTEXT)
#define MRF_EMULATOR_UCONTEXT
#endif

#if defined(MRF_EMULATOR_UCONTEXT)
#include <ucontext.h>
#else
extern "C" void mrf_emulator_swap(void** save, void* load);
#endif

namespace emulator {

class Context {
 public:
  using Entry = void (*)(void* argument);

  // Gives the context a stack of its own on which the first switch to it calls entry(argument).
  // Entry must never return: it switches away for good.
  void make(void* stack, std::size_t stack_bytes, Entry entry, void* argument);

  // Leaves the running context in `from` and continues `to`.
  static void swap(Context& from, Context& to) {
#if defined(MRF_EMULATOR_UCONTEXT)
    swapcontext(&from.context_, &to.context_);
#else
    mrf_emulator_swap(&from.stack_pointer_, to.stack_pointer_);
#endif
  }

 private:
#if defined(MRF_EMULATOR_UCONTEXT)
  ucontext_t context_{};
#else
  void* stack_pointer_ = nullptr;
#endif
};

}  // namespace emulator
