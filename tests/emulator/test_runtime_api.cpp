// SPDX-License-Identifier: Apache-2.0
// The host's side: memory, attributes, and scalar device functions that have no kernel of their
// own.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "device.cuh"
#include "emulator/sample_kernels.hpp"

namespace {

class ScopedDevice {
 public:
  explicit ScopedDevice(const emulator::Device& device) : before_(emulator::device()) {
    emulator::set_device(device);
  }
  ~ScopedDevice() { emulator::set_device(before_); }

 private:
  emulator::Device before_;
};

int attribute(cudaDeviceAttr which) {
  int value = -1;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, which, 0), cudaSuccess);
  return value;
}

TEST(RuntimeApi, MemoryIsPoisonedAndAligned) {
  float* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 40), cudaSuccess);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 256, 0U);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(std::isnan(memory[i]));
  ASSERT_EQ(cudaMemsetAsync(memory, 0, 40), cudaSuccess);
  EXPECT_EQ(memory[9], 0.0F);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
}

TEST(RuntimeApi, MemoryEnds) {
  emulator::Device small = emulator::device();
  small.memory_bytes = 1000;
  const ScopedDevice scope(small);
  void* first = nullptr;
  void* second = nullptr;
  ASSERT_EQ(cudaMalloc(&first, 600), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 600), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  EXPECT_STREQ(cudaGetErrorString(cudaPeekAtLastError()), "out of memory");
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  cudaMemGetInfo(&free_bytes, &total_bytes);
  EXPECT_EQ(free_bytes, 400U);
  EXPECT_EQ(total_bytes, 1000U);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaFree(first), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
}

TEST(RuntimeApi, DeviceIsConfigurable) {
  emulator::Device device = emulator::device();
  device.multiprocessors = 7;
  const ScopedDevice scope(device);
  EXPECT_EQ(attribute(cudaDevAttrMultiProcessorCount), 7);
  EXPECT_EQ(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin), 227 << 10);
  int value = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
}

__global__ void nothing() {}

TEST(RuntimeApi, Occupancy) {
  const auto blocks = [](int threads, std::size_t shared_bytes) {
    int count = -1;
    EXPECT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, nothing, threads, shared_bytes),
              cudaSuccess);
    return count;
  };
  EXPECT_EQ(blocks(1024, 0), 2);
  EXPECT_EQ(blocks(32, 0), 32);
  EXPECT_EQ(blocks(64, 227 << 10), 1);
  EXPECT_EQ(blocks(64, 37 << 10), 6);
}

TEST(RuntimeApi, SeveralHostThreadsLaunch) {
  std::vector<int> sums(8, 0);
  std::vector<std::thread> threads;
  for (int& sum : sums) {
    threads.emplace_back([&sum] {
      for (int repeat = 0; repeat < 50; ++repeat) {
        const std::vector<int> in(128, repeat);
        sample::block_sums(in.data(), &sum, 128);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int sum : sums) EXPECT_EQ(sum, 128 * 49);
}

TEST(RuntimeApi, LaunchesAreCounted) {
  const std::uint64_t before = emulator::launches();
  std::vector<int> in(128, 1);
  int sum = 0;
  sample::block_sums(in.data(), &sum, 128);
  const std::uint64_t of_one = emulator::launches() - before;
  EXPECT_EQ(cudaMemsetAsync(in.data(), 0, 4), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(in.data(), &sum, 4, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(of_one, 1U);
  EXPECT_EQ(emulator::launches(), before + 3);
}

TEST(Intrinsics, Bits) {
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(0x50), 5);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__popc(0xF0F0U), 8);
  EXPECT_EQ(__brev(0x00000013U), 0xC8000000U);
  EXPECT_EQ(__byte_perm(0x33221100U, 0x77665544U, 0x7531), 0x77553311U);
  EXPECT_EQ(__byte_perm(0x00000080U, 0, 0x8888), 0xFFFFFFFFU);  // the sign of a byte
  EXPECT_EQ(__float_as_int(1.0F), 0x3F800000);
  EXPECT_EQ(__int_as_float(0x40000000), 2.0F);
}

TEST(Intrinsics, Lanes) {
  EXPECT_EQ(__vminu4(0x01FF8003U, 0x02FE7F04U), 0x01FE7F03U);
  EXPECT_EQ(__vmaxu2(0x0001FFFFU, 0x00020000U), 0x0002FFFFU);
  EXPECT_EQ(__vaddus4(0xF0100101U, 0x20100102U), 0xFF200203U);
  EXPECT_EQ(__vadd4(0xF0100101U, 0x20100102U), 0x10200203U);
  EXPECT_EQ(__vsubus2(0x00010005U, 0x00020003U), 0x00000002U);
  EXPECT_EQ(__vabsdiffu4(0x01050000U, 0x05010000U), 0x04040000U);
}

TEST(Intrinsics, Floats) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(fminf(kNaN, 2.0F), 2.0F);
  EXPECT_EQ(max(kNaN, 2.0F), 2.0F);
  const float a = 1.0F + 0x1p-12F;
  EXPECT_EQ(__fmaf_rn(a, a, -1.0F), 0x1p-11F + 0x1p-24F);  // rounded once
  EXPECT_EQ(__fadd_rn(__fmul_rn(a, a), -1.0F), 0x1p-11F);
}

TEST(Intrinsics, Atomics) {
  int value = 5;
  EXPECT_EQ(atomicCAS(&value, 4, 9), 5);
  EXPECT_EQ(atomicCAS(&value, 5, 9), 5);
  EXPECT_EQ(atomicExch(&value, std::numeric_limits<int>::max()), 9);
  EXPECT_EQ(atomicAdd(&value, 1), std::numeric_limits<int>::max());
  EXPECT_EQ(value, std::numeric_limits<int>::min());  // wraps, as on a GPU
}

}  // namespace
