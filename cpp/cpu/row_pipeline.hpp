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

/// Inside a parallel region.
inline int team_size() {
#if defined(_OPENMP)
  return omp_get_num_threads();
#else
  return 1;
#endif
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

/// One thread's part of rows first .. end - 1, dealt out in turn to `size` threads.
struct RowTeam {
  int64_t first, end, columns;
  int64_t lead;  ///< columns that the row before must be ahead
  int64_t me, size;
  RowProgress* progress;  ///< of every row; not looked at by a team of one
  Control* control;
};

/// body(row, begin, end) for blocks of kBlock columns of my rows, when the row before is far
/// enough.
template <int64_t kBlock, class Body>
void run_rows(const RowTeam& team, Body& body) {
  for (int64_t row = team.first + team.me; row < team.end; row += team.size) {
    for (int64_t begin = 0; begin < team.columns; begin += kBlock) {
      const int64_t end = begin + kBlock < team.columns ? begin + kBlock : team.columns;
      if (team.size > 1 && row > team.first) {
        const int64_t needed =
            end - 1 + team.lead < team.columns ? end - 1 + team.lead : team.columns;
        wait_for(team.progress[row - 1].done, needed, team.control);
      }
      if (should_stop(team.control)) break;
      body(row, begin, end);
      if (team.size > 1) team.progress[row].done.store(end, std::memory_order_release);
    }
  }
}

/// make(memory) gives each thread a function body(y, begin, end) that does columns begin..end-1 of
/// row y; columns count from the side the pass starts at. Rows go bottom up when `reversed`.
template <class Make>
void row_pipeline(const GridShape& shape, bool reversed, int threads, Control* control,
                  const Make& make) {
  const int64_t rows = shape.height;
  const auto run = [&](int64_t me, int64_t size, RowProgress* progress) {
    auto body = make(thread_memory());
    const auto in_order = [&](int64_t k, int64_t begin, int64_t end) {
      body(reversed ? rows - 1 - k : k, begin, end);
    };
    // Same blocks for any number of threads: sums over a row must not depend on it.
    run_rows<kPipelineBlock>(
        {0, rows, shape.width, pipeline_lead(shape.connectivity), me, size, progress, control},
        in_order);
  };
  if (threads > rows) threads = static_cast<int>(rows);
  if (threads <= 1) return run(0, 1, nullptr);
  const size_t bytes = sizeof(RowProgress) * static_cast<size_t>(rows);
  auto* progress = static_cast<RowProgress*>(std::aligned_alloc(64, bytes));
  if (progress == nullptr) std::abort();
  for (int64_t k = 0; k < rows; ++k) new (&progress[k]) RowProgress{0};
  // Deal rows by the real team size: the runtime may give fewer threads than asked.
#pragma omp parallel num_threads(threads)
  run(thread_index(), team_size(), progress);
  std::free(progress);
}

}  // namespace mrfcore::cpu::MRF_ISA
