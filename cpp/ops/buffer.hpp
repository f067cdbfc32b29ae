// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

namespace mrfcore {

/// Zeroed memory, 64-byte aligned; throws std::bad_alloc. Large blocks come as untouched pages
/// (huge where the system agrees), so that the threads that use them place them.
void* allocate_zeroed(int64_t bytes);
void release(void* data, int64_t bytes) noexcept;

/// Owns `size` zero-initialised elements.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size)
      : size_(size), data_(size > 0 ? static_cast<T*>(allocate_zeroed(bytes())) : nullptr) {}
  Buffer(Buffer&& other) noexcept
      : size_(std::exchange(other.size_, 0)), data_(std::exchange(other.data_, nullptr)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(data_, other.data_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) release(data_, bytes());
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }
  int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(T)); }
  explicit operator bool() const { return data_ != nullptr; }
  void clear() { std::memset(data_, 0, static_cast<size_t>(bytes())); }

 private:
  int64_t size_ = 0;
  T* data_ = nullptr;
};

}  // namespace mrfcore
