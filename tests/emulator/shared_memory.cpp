// SPDX-License-Identifier: Apache-2.0
#include "emulator/shared_memory.hpp"

#include <array>
#include <cstdint>
#include <cstring>

#include "emulator/sanitizers.hpp"
#include "emulator/settings.hpp"

#if defined(EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace emulator {
namespace {

constexpr std::size_t kGuardBytes = 1024;
constexpr std::size_t kAlignment = 16;
constexpr unsigned char kGuard = 0xFD;  // a NaN, too, so that what is read there shows

// Aligned to 16 and never to 32: kernels get no more than a GPU promises.
unsigned char* place(unsigned char* memory) {
  auto address = reinterpret_cast<std::uintptr_t>(memory) + kGuardBytes;
  address = (address + 2 * kAlignment - 1) & ~std::uintptr_t{2 * kAlignment - 1};
  return reinterpret_cast<unsigned char*>(address + kAlignment);
}

}  // namespace

SharedMemory::SharedMemory(std::size_t bytes)
    : bytes_(bytes),
      memory_(new unsigned char[bytes + 2 * kGuardBytes + 4 * kAlignment]),
      data_(place(memory_.get())) {
  std::memset(data_ - kGuardBytes, kGuard, kGuardBytes);
  std::memset(data_ + bytes_, kGuard, kGuardBytes);
#if defined(EMULATOR_ASAN)
  __asan_poison_memory_region(data_ - kGuardBytes, kGuardBytes);
  __asan_poison_memory_region(data_ + bytes_, kGuardBytes);
#endif
}

SharedMemory::~SharedMemory() {
#if defined(EMULATOR_ASAN)
  __asan_unpoison_memory_region(data_ - kGuardBytes, bytes_ + 2 * kGuardBytes);
#endif
}

void SharedMemory::make_fresh() { std::memset(data_, poison(), bytes_); }

#if defined(EMULATOR_ASAN)

bool SharedMemory::intact() const { return true; }
bool SharedMemory::edges_intact() const { return true; }

#else

namespace {

constexpr std::size_t kEdgeBytes = 128;

constexpr auto kGuardPattern = [] {
  std::array<unsigned char, kGuardBytes> pattern{};
  for (auto& byte : pattern) byte = kGuard;
  return pattern;
}();

bool is_guard(const unsigned char* bytes, std::size_t count) {
  return std::memcmp(bytes, kGuardPattern.data(), count) == 0;
}

}  // namespace

bool SharedMemory::intact() const {
  return is_guard(data_ - kGuardBytes, kGuardBytes) && is_guard(data_ + bytes_, kGuardBytes);
}

bool SharedMemory::edges_intact() const {
  return is_guard(data_ - kEdgeBytes, kEdgeBytes) && is_guard(data_ + bytes_, kEdgeBytes);
}

#endif

}  // namespace emulator
