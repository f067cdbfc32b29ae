// SPDX-License-Identifier: Apache-2.0
// Raster-order dependencies in parallel: rows are dealt out to threads in turn, and a row keeps a
// block behind the row before it. Order within a row, and between dependent pixels, is that of the
// sequential loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <sched.h>

#include "cpu/kernels.hpp"
#include "cpu/parallel.hpp"

namespace mrfcore::cpu::MRF_ISA {

inline constexpr int64_t kPipelineBlock = 16;

/// How far (in pixels) the row before must be ahead: the widest dx of a direction that points one
/// row back.
inline int64_t pipeline_lead(int connectivity) {
  return connectivity == 4 ? 1 : (connectivity == 8 ? 2 : 3);
}

inline int64_t block_end(int64_t begin, int64_t columns) {
  return begin + kPipelineBlock < columns ? begin + kPipelineBlock : columns;
}

struct RowProgress {
  alignas(64) std::atomic<int64_t> done;
};

inline void wait_for(const std::atomic<int64_t>& done, int64_t target, Control* control) {
  for (int64_t spin = 0; done.load(std::memory_order_acquire) < target; ++spin) {
    if (spin % 1024 == 1023 && should_stop(control)) return;
#if defined(__x86_64__)
    _mm_pause();
#endif
    if (spin > 2000) sched_yield();  // the other thread may not even be running
  }
}

/// make(memory) gives each thread a function body(y, begin, end) that does columns begin..end-1 of
/// row y; columns count from the side the pass starts at. Rows go bottom up when `reversed`.
template <class Make>
void row_pipeline(const GridShape& shape, bool reversed, int threads, Control* control,
                  const Make& make) {
  const int64_t rows = shape.height, columns = shape.width;
  if (threads > rows) threads = static_cast<int>(rows);
  if (threads <= 1) {
    auto body = make(thread_memory());
    for (int64_t k = 0; k < rows; ++k) {
      // Same blocks as in parallel: sums over a row must not depend on the number of threads.
      for (int64_t begin = 0; begin < columns && !should_stop(control); begin += kPipelineBlock) {
        body(reversed ? rows - 1 - k : k, begin, block_end(begin, columns));
      }
    }
    return;
  }
  const int64_t lead = pipeline_lead(shape.connectivity);
  const size_t bytes = sizeof(RowProgress) * static_cast<size_t>(rows);
  auto* progress = static_cast<RowProgress*>(std::aligned_alloc(64, bytes));
  if (progress == nullptr) std::abort();
  for (int64_t k = 0; k < rows; ++k) new (&progress[k]) RowProgress{0};
  // Deal rows by the real team size: the runtime may give fewer threads than asked.
#pragma omp parallel num_threads(threads)
  {
#if defined(_OPENMP)
    const int64_t team = omp_get_num_threads();
#else
    const int64_t team = 1;
#endif
    const int64_t me = thread_index();
    auto body = make(thread_memory());
    for (int64_t k = me; k < rows; k += team) {
      for (int64_t begin = 0; begin < columns; begin += kPipelineBlock) {
        const int64_t end = block_end(begin, columns);
        if (k > 0) {
          const int64_t needed = end - 1 + lead < columns ? end - 1 + lead : columns;
          wait_for(progress[k - 1].done, needed, control);
        }
        if (should_stop(control)) break;
        body(reversed ? rows - 1 - k : k, begin, end);
        progress[k].done.store(end, std::memory_order_release);
      }
    }
  }
  std::free(progress);
}

}  // namespace mrfcore::cpu::MRF_ISA
