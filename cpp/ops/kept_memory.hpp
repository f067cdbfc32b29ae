// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mrfcore {

/// Working memory of a call, any contents, 64-byte aligned; throws std::bad_alloc. The last block
/// is kept for the next call and offered to the system, which takes its pages when memory runs
/// short (Linux; elsewhere nothing is kept). Fresh pages are zeroed before use, which takes a sixth
/// of the time of matching a pair.
class KeptMemory {
 public:
  explicit KeptMemory(int64_t bytes);
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;
  ~KeptMemory();

  void* data() const { return block_->data; }

  struct Block {
    void* data;
    int64_t bytes;
  };

 private:
  Block* block_;
};

}  // namespace mrfcore
