// SPDX-License-Identifier: Apache-2.0
// mrfcore/cuda_filter_flow.hpp and mrfcore/cuda_warp.hpp through the emulated library, as a program
// would use a GPU: against the CPU's functions, and what is refused. (tests/python does the rest.)
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "mrfcore/cuda_filter_flow.hpp"
#include "mrfcore/cuda_warp.hpp"
#include "mrfcore/error.hpp"

namespace mrfcore::test {
namespace {

constexpr int64_t kItems = 2, kChannels = 3, kHeight = 7, kWidth = 41, kSide = 4;
constexpr int64_t kPixels = kItems * kHeight * kWidth;

/// Before anything looks for the library of kernels.
const bool kNamed = setenv("MRFCORE_CUDA_LIBRARY", MRF_EMULATED_LIBRARY, 1) == 0;

std::vector<float> numbers(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> distribution(-2, 2);
  std::vector<float> v(static_cast<size_t>(count));
  for (float& x : v) x = distribution(generator);
  return v;
}

/// A queue and its memory.
struct Work {
  std::vector<uint64_t> memory;
  explicit Work(int64_t bytes) : memory(static_cast<size_t>((bytes + 7) / 8)) {}
  cuda::Queue queue() {
    return {0, nullptr, memory.data(), static_cast<int64_t>(memory.size()) * 8};
  }
};

void expect_refused(const std::string& name, const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << name << " was not refused";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
  }
}

struct FlowData {
  std::vector<float> image = numbers(kPixels * kChannels, 1);
  std::vector<float> filters = numbers(kPixels * kSide * kSide, 2);
  std::vector<float> grad_out = numbers(kPixels * kChannels, 3);
  std::vector<float> out = std::vector<float>(image.size()), spread = out;
  std::vector<float> grads = std::vector<float>(filters.size());

  FilterFlowProblem problem(FlowPadding padding = FlowPadding::Replicate) const {
    FilterFlowProblem p;
    p.batch = kItems;
    p.channels = kChannels;
    p.height = kHeight;
    p.width = kWidth;
    p.side = kSide;
    p.filters = filters.data();
    p.padding = padding;
    return p;
  }
};

TEST(DeviceFlow, FilterFlowIsThatOfTheCpu) {
  ASSERT_TRUE(kNamed);
  FlowData cpu, device;
  const FilterFlowProblem p = cpu.problem();
  filter_flow<float>(p, cpu.image.data(), cpu.out.data());
  filter_flow_transpose<float>(p, cpu.image.data(), {}, cpu.spread.data());
  filter_flow_filter_gradient<float>(p, cpu.image.data(), {}, {nullptr, cpu.grad_out.data()},
                                     cpu.grads.data());
  Work work(cuda::filter_flow_transpose_workspace_bytes<float>(p));
  cuda::filter_flow<float>(p, cpu.image.data(), device.out.data(), nullptr, {}, {});
  cuda::filter_flow_transpose<float>(p, cpu.image.data(), {}, device.spread.data(), work.queue());
  cuda::filter_flow_filter_gradient<float>(p, cpu.image.data(), {}, {nullptr, cpu.grad_out.data()},
                                           device.grads.data(), {});
  EXPECT_EQ(device.out, cpu.out);
  EXPECT_EQ(device.spread, cpu.spread);
  EXPECT_EQ(device.grads, cpu.grads);
  EXPECT_EQ(cuda::filter_flow_transpose_workspace_bytes<float>(cpu.problem(FlowPadding::Zeros)), 0);
  EXPECT_THROW(
      cuda::filter_flow_transpose<float>(p, cpu.image.data(), {}, device.spread.data(), {}),
      OutOfMemory);
}

TEST(DeviceFlow, WhatFilterFlowRefuses) {
  FlowData d;
  const auto run = [&](const FilterFlowProblem& p, float* out) {
    cuda::filter_flow<float>(p, d.image.data(), out, nullptr, {}, {});
  };
  FilterFlowProblem p = d.problem();
  p.side = 32;
  expect_refused("side", [&] { run(p, d.out.data()); });
  p = d.problem();
  p.type = FilterType::Float64;
  expect_refused("type", [&] { run(p, d.out.data()); });
  p = d.problem();
  p.softmax = true;
  expect_refused("statistics.peak", [&] { run(p, d.out.data()); });
  p = d.problem();
  p.width = (int64_t{1} << 30) + 1;
  expect_refused("width", [&] { run(p, d.out.data()); });
  expect_refused("out", [&] { run(d.problem(), nullptr); });
}

TEST(DeviceFlow, Warps) {
  const WarpProblem p{kItems, kChannels, kHeight, kWidth, kHeight, kWidth, WarpPadding::Zeros, 1};
  const auto image = numbers(kPixels * kChannels, 1), flow = numbers(kPixels * 2, 2),
             grad = numbers(kPixels * kChannels, 3);
  std::vector<float> out(image.size()), to_image(image.size()), to_flow(flow.size());
  std::vector<float> found(out), found_image(out), found_flow(to_flow);
  warp<float>(p, image.data(), flow.data(), out.data(), nullptr);
  warp_gradient<float>(p, image.data(), flow.data(), grad.data(), to_image.data(), to_flow.data());
  cuda::warp<float>(p, image.data(), flow.data(), found.data(), nullptr, {});
  Work work(cuda::warp_gradient_workspace_bytes<float>(p));
  const auto gradient = [&](float* for_image, const cuda::Queue& queue) {
    cuda::warp_gradient<float>(p, image.data(), flow.data(), grad.data(), for_image,
                               found_flow.data(), queue);
  };
  gradient(nullptr, {});
  EXPECT_EQ(found, out);
  EXPECT_EQ(found_flow, to_flow);
  gradient(found_image.data(), work.queue());
  for (size_t i = 0; i < to_image.size(); ++i) EXPECT_NEAR(found_image[i], to_image[i], 1e-5F);
  EXPECT_THROW(gradient(found_image.data(), {}), OutOfMemory);
  expect_refused("out",
                 [&] { cuda::warp<float>(p, image.data(), flow.data(), nullptr, nullptr, {}); });
  WarpProblem large = p;
  large.out_width = (int64_t{1} << 24) + 1;
  expect_refused("out_width", [&] {
    cuda::warp<float>(large, image.data(), flow.data(), found.data(), nullptr, {});
  });
}

}  // namespace
}  // namespace mrfcore::test
