// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#if defined(_OPENMP)
#include <omp.h>
#endif

#include "cpu/control.hpp"
#include "cpu/scratch.hpp"

namespace mrfcore::cpu::MRF_ISA {

inline int thread_index() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

inline ThreadMemory& thread_memory() {
  thread_local ThreadMemory memory;
  return memory;
}

/// body(memory, index) for index = 0..count-1 in any order; skips the rest once the caller asked to
/// stop.
template <class Body>
void parallel_strips(int64_t count, int threads, Control* control, const Body& body) {
  if (threads > count) threads = static_cast<int>(count);
  if (threads <= 1) {  // entering a parallel region costs more than a small problem
    for (int64_t i = 0; i < count && !should_stop(control); ++i) body(thread_memory(), i);
    return;
  }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t i = 0; i < count; ++i) {
    if (!should_stop(control)) body(thread_memory(), i);
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
