// SPDX-License-Identifier: Apache-2.0
// A block's dynamic shared memory: poisoned when fresh, guarded on both sides.
#pragma once

#include <cstddef>
#include <memory>

namespace emulator {

class SharedMemory {
 public:
  explicit SharedMemory(std::size_t bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Aligned to 16 bytes and to no more: a GPU promises no more.
  [[nodiscard]] unsigned char* data() const { return data_; }

  // What a new block finds.
  void make_fresh();

  // Whether the guards are as they were: all of them, or the few bytes next to the memory, which is
  // cheap enough to ask after every step of a thread. Under ASan the guards cannot be touched.
  [[nodiscard]] bool intact() const;
  [[nodiscard]] bool edges_intact() const;

 private:
  std::size_t bytes_;
  std::unique_ptr<unsigned char[]> memory_;
  unsigned char* data_;
};

}  // namespace emulator
