// SPDX-License-Identifier: Apache-2.0
// What functions of the exported table leave behind in the runtime when they fail: nothing.
#include <gtest/gtest.h>

#include <vector>

#include "device.cuh"
#include "functions.hpp"

extern "C" const mrfcore::cuda::Functions* mrfcore_cuda_functions(int abi, uint64_t layout);

namespace mrfcore::test {
namespace {

TEST(Library, IsOfOneVersion) {
  ASSERT_NE(mrfcore_cuda_functions(cuda::kAbi, cuda::kLayout), nullptr);
  EXPECT_EQ(mrfcore_cuda_functions(cuda::kAbi + 1, cuda::kLayout), nullptr);
  EXPECT_EQ(mrfcore_cuda_functions(cuda::kAbi, cuda::kLayout + 1), nullptr);
}

/// A launch asks cudaGetLastError(), which would tell it of a call that failed before.
TEST(Library, ForgetsFailuresOfTheRuntime) {
  const cuda::Functions& f = *mrfcore_cuda_functions(cuda::kAbi, cuda::kLayout);
  std::vector<float> to{1.0F}, from{2.0F};
  int value = 0;
  ASSERT_NE(f.runtime.set_device(7), 0);
  EXPECT_EQ(f.float32.add(to.data(), from.data(), 1, nullptr), 0);
  cuda::DeviceProperties properties{};
  ASSERT_NE(f.runtime.properties(7, &properties), 0);
  EXPECT_EQ(f.float32.add(to.data(), from.data(), 1, nullptr), 0);
  ASSERT_EQ(f.runtime.device_count(&value), 0);
  ASSERT_EQ(f.runtime.current_device(&value), 0);
  EXPECT_EQ(to[0], 5.0F);
}

TEST(Library, ForgetsWhatItAlreadyReported) {
  static_cast<void>(cudaSetDevice(7));
  ASSERT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cuda::forgotten(cudaErrorInvalidDevice), static_cast<int>(cudaErrorInvalidDevice));
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
  EXPECT_EQ(cuda::forgotten(cudaSuccess), 0);
}

}  // namespace
}  // namespace mrfcore::test
