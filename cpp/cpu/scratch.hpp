// SPDX-License-Identifier: Apache-2.0
// Memory of one thread inside a kernel. It lives as long as the thread and only grows, so that a
// solve of many sweeps allocates once.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "cpu/kernels.hpp"
#include "cpu/min_convolution.hpp"

namespace mrfcore::cpu::MRF_ISA {

class ThreadMemory {
 public:
  ThreadMemory() = default;
  ThreadMemory(const ThreadMemory&) = delete;
  ThreadMemory& operator=(const ThreadMemory&) = delete;
  ~ThreadMemory() { std::free(data_); }

  /// 64-byte aligned block of at least `bytes`; the contents of earlier blocks are lost. Null when
  /// out of memory.
  void* reserve(int64_t bytes) {
    if (bytes > bytes_) {
      std::free(data_);
      bytes_ = (bytes + 4095) / 4096 * 4096;
      data_ = std::aligned_alloc(64, static_cast<size_t>(bytes_));
      if (data_ == nullptr)
        std::abort();  // a few kilobytes per thread: nothing sensible can go on without
    }
    return data_;
  }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

/// Guarded h rows of a strip, the convolved messages of one group, and the convolution's scratch.
template <class T>
struct StripBuffers {
  T* rows;
  T* message;
  Lane<T>* index;  ///< arg-mins of one group, if asked for
  T* scratch;
  int64_t row;
  int64_t guard;

  StripBuffers(ThreadMemory& memory, const MinConvolutionPlan<T>& plan, int64_t slots,
               bool argmins = false)
      : row(plan.row()), guard(plan.guard) {
    const int64_t rows_size = slots * row;
    const int64_t message_size = kGroup * plan.stride;
    const int64_t total = rows_size + (argmins ? 2 : 1) * message_size +
                          (argmins ? argmin_scratch_size(plan) : scratch_size(plan)) + 64;
    rows = static_cast<T*>(memory.reserve(total * static_cast<int64_t>(sizeof(T))));
    message = rows + rows_size;
    index = reinterpret_cast<Lane<T>*>(message + message_size);
    scratch = message + (argmins ? 2 : 1) * message_size;
    for (int64_t i = 0; i < rows_size; ++i) rows[i] = kForbidden<T>;
    if (argmins) {
      prepare_argmin_scratch(plan, scratch);
    } else {
      prepare_scratch(plan, scratch);
    }
  }
  T* h(int64_t slot) const { return rows + slot * row + guard; }
};

}  // namespace mrfcore::cpu::MRF_ISA
