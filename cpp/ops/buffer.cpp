// SPDX-License-Identifier: Apache-2.0
#include "ops/buffer.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "mrfcore/runtime.hpp"

namespace mrfcore {
namespace {

constexpr int64_t kMappedFrom = int64_t{4} << 20;
constexpr uintptr_t kHugePage = uintptr_t{2} << 20;

}  // namespace

void prefer_huge_pages(const void* data, int64_t bytes) noexcept {
#if defined(__linux__)
  if (data == nullptr || bytes < kMappedFrom) return;
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t last = (begin + static_cast<uintptr_t>(bytes)) / kHugePage * kHugePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  static_cast<void>(data);
  static_cast<void>(bytes);
#endif
}

void* allocate_zeroed(int64_t bytes) {
#if defined(__linux__)
  if (bytes >= kMappedFrom) {
    void* p = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    prefer_huge_pages(p, bytes);
    return p;
  }
#endif
  const size_t rounded = (static_cast<size_t>(bytes) + 63) / 64 * 64;
  void* p = std::aligned_alloc(64, rounded);
  if (p == nullptr) throw std::bad_alloc();
  std::memset(p, 0, rounded);
  return p;
}

void release(void* data, int64_t bytes) noexcept {
#if defined(__linux__)
  if (bytes >= kMappedFrom) {
    munmap(data, static_cast<size_t>(bytes));
    return;
  }
#endif
  static_cast<void>(bytes);
  std::free(data);
}

namespace {

/// What the control group still allows, or -1 without a limit (containers, batch systems).
int64_t control_group_bytes() {
  int64_t limit = -1, used = -1;
  std::ifstream("/sys/fs/cgroup/memory.max") >> limit;  // "max" leaves -1 or 0
  std::ifstream("/sys/fs/cgroup/memory.current") >> used;
  std::ifstream stat("/sys/fs/cgroup/memory.stat");
  std::string key;
  int64_t bytes = 0;
  while (stat >> key >> bytes) {  // cached files count as used, but make room when asked to
    if (key == "inactive_file" && used >= bytes) used -= bytes;
  }
  return limit > 0 && used >= 0 ? std::max<int64_t>(limit - used, 0) : -1;
}

}  // namespace

int64_t available_bytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  std::string unit;
  while (meminfo >> key >> kib >> unit) {
    if (key != "MemAvailable:") continue;
    const int64_t group = control_group_bytes();
    return group < 0 ? kib * 1024 : std::min(group, kib * 1024);
  }
  return -1;
}

}  // namespace mrfcore
