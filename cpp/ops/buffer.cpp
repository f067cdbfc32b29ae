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

}  // namespace

void* allocate_zeroed(int64_t bytes) {
#if defined(__linux__)
  if (bytes >= kMappedFrom) {
    void* p = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    madvise(p, static_cast<size_t>(bytes),
            MADV_HUGEPAGE);  // vertical sweeps stride far: fewer TLB misses
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
