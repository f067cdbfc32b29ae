// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace mrfcore {

/// Zeroed memory, 64-byte aligned; throws std::bad_alloc. Large blocks come as untouched pages
/// (huge where the system agrees), so that the threads that use them place them.
void* allocate_zeroed(int64_t bytes);
void release(void* data, int64_t bytes) noexcept;

/// Asks the system to back large fresh memory with huge pages: vertical sweeps stride far (fewer
/// TLB misses), and first use faults once per 2 MiB instead of once per 4 KiB, which otherwise
/// costs as much as the arithmetic of a layer. A hint: contents and results do not change.
void prefer_huge_pages(const void* data, int64_t bytes) noexcept;

/// Memory of the caller, handed out in 64-byte aligned pieces until it is used up.
class Arena {
 public:
  Arena() = default;
  Arena(void* data, int64_t bytes)
      : at_(static_cast<std::byte*>(data)), end_(data == nullptr ? at_ : at_ + bytes) {}

  /// Null when there is not enough left.
  void* take(int64_t bytes) {
    constexpr uintptr_t kAlignment = 64;
    const auto skip = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(at_) % kAlignment);
    if (end_ - at_ < skip + bytes) return nullptr;
    std::byte* piece = at_ + skip;
    at_ = piece + bytes;
    return piece;
  }

 private:
  std::byte* at_ = nullptr;
  std::byte* end_ = nullptr;
};

/// `size` zero-initialised elements, owned, or taken from an arena that has room for them. What
/// Backend::zeroed() makes may lie on a GPU.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size, Arena* arena = nullptr) : size_(size) {
    if (size <= 0) return;
    if (arena != nullptr) data_ = static_cast<T*>(arena->take(bytes()));
    owned_ = data_ == nullptr;
    if (owned_) {
      data_ = static_cast<T*>(allocate_zeroed(bytes()));
    } else {
      clear();
    }
  }
  /// Memory of somebody else, as it is.
  static Buffer borrowed(T* data, int64_t size) {
    Buffer b;
    b.data_ = data;
    b.size_ = size;
    return b;
  }
  Buffer(Buffer&& other) noexcept
      : size_(std::exchange(other.size_, 0)),
        data_(std::exchange(other.data_, nullptr)),
        owned_(other.owned_) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(data_, other.data_);
    std::swap(owned_, other.owned_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr && owned_) release(data_, bytes());
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
  bool owned_ = false;
};

}  // namespace mrfcore
