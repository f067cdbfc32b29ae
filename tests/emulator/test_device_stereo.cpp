// SPDX-License-Identifier: Apache-2.0
// mrfcore/cuda_stereo.hpp through the emulated library, as a program would use a GPU: against the
// CPU's functions, in parts of a batch, and what is refused. (tests/python does the rest.)
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "mrfcore/cuda_stereo.hpp"

namespace mrfcore::test {
namespace {

constexpr int64_t kItems = 3, kHeight = 7, kWidth = 41, kLabels = 19, kFirst = -4;
constexpr int64_t kPixels = kHeight * kWidth, kVolume = kPixels * kLabels;

/// Before anything looks for the library of kernels.
const bool kNamed = setenv("MRFCORE_CUDA_LIBRARY", MRF_EMULATED_LIBRARY, 1) == 0;

struct Images {
  std::vector<uint8_t> left = Random(1).array<uint8_t>(kItems * kPixels * 3, 256.0, 1.0),
                       right = Random(2).array<uint8_t>(kItems * kPixels * 3, 256.0, 1.0);

  static ImageView view(const std::vector<uint8_t>& images, int64_t item = 0) {
    return {images.data() + item * kPixels * 3, PixelType::UInt8, kHeight, kWidth, 3};
  }
};

CostVolumeOptions census() {
  return {.cost = StereoCost::Census, .num_disparities = kLabels, .min_disparity = kFirst};
}

/// A queue and its memory.
struct Work {
  std::vector<std::byte> memory;
  explicit Work(int64_t bytes) : memory(static_cast<size_t>(bytes)) {}
  cuda::Queue queue() { return {0, nullptr, memory.data(), static_cast<int64_t>(memory.size())}; }
};

std::vector<float> volumes(const Images& images, const CostVolumeOptions& options) {
  std::vector<float> out(kItems * kVolume);
  for (int64_t item = 0; item < kItems; ++item) {
    cost_volume(Images::view(images.left, item), Images::view(images.right, item), options,
                out.data() + item * kVolume);
  }
  return out;
}

void expect_refused(const std::string& name, const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << name << " was not refused";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
  }
}

TEST(DeviceStereo, CostVolumesInPartsOfTheBatch) {
  ASSERT_TRUE(kNamed);
  const Images images;
  const CostVolumeOptions options = census();
  const ImageView left = Images::view(images.left), right = Images::view(images.right);
  for (const int64_t items : {kItems, int64_t{2}, int64_t{1}}) {
    Work work(cuda::cost_volume_workspace_bytes(left, options, items));
    std::vector<float> found(kItems * kVolume);
    cuda::cost_volume(left, right, kItems, options, found.data(), work.queue());
    EXPECT_EQ(found, volumes(images, options)) << items;
  }
  std::vector<float> out(kItems * kVolume);
  EXPECT_THROW(cuda::cost_volume(left, right, kItems, options, out.data(), cuda::Queue{}),
               OutOfMemory);
}

TEST(DeviceStereo, RightViews) {
  const std::vector<float> costs = volumes({}, census());
  std::vector<int32_t> labels(kItems * kPixels), expected_labels(labels);
  std::vector<float> minima(kItems * kPixels), expected_minima(minima);
  std::vector<float> volume(costs.size()), expected_volume(costs.size());
  cuda::right_view_minimum(costs.data(), kItems, kHeight, kWidth, kLabels, kFirst, labels.data(),
                           minima.data(), {});
  cuda::right_view_volume(costs.data(), kItems, kHeight, kWidth, kLabels, kFirst, 7.5F,
                          volume.data(), {});
  for (int64_t item = 0; item < kItems; ++item) {
    const float* from = costs.data() + item * kVolume;
    right_view_minimum(from, kHeight, kWidth, kLabels, kFirst, 1,
                       expected_labels.data() + item * kPixels,
                       expected_minima.data() + item * kPixels);
    right_view_volume(from, kHeight, kWidth, kLabels, kFirst, 7.5F, 1,
                      expected_volume.data() + item * kVolume);
  }
  EXPECT_EQ(labels, expected_labels);
  EXPECT_EQ(minima, expected_minima);
  EXPECT_EQ(volume, expected_volume);
}

TEST(DeviceStereo, SgmInPartsOfTheBatch) {
  const Images images;
  cuda::StereoSgmOptions options;
  options.costs = census();
  const std::vector<float> unary = volumes(images, options.costs);
  Problem<float> problem;
  problem.batch = kItems;
  problem.height = kHeight;
  problem.width = kWidth;
  problem.labels = kLabels;
  problem.connectivity = options.paths;
  problem.unary = unary.data();
  problem.pairwise =
      Potential::sgm_penalty(static_cast<double>(options.p1), static_cast<double>(options.p2));
  Options solve;
  solve.solver = Solver::SGM;
  solve.iterations = 1;
  std::vector<int32_t> expected(kItems * kPixels), expected_right(expected);
  std::vector<float> sums(unary.size());
  minimize(problem, solve, {expected.data(), sums.data()});
  for (int64_t item = 0; item < kItems; ++item) {
    right_view_minimum(sums.data() + item * kVolume, kHeight, kWidth, kLabels, kFirst, 1,
                       expected_right.data() + item * kPixels, nullptr);
  }
  const ImageView left = Images::view(images.left), right = Images::view(images.right);
  for (const int64_t items : {kItems, int64_t{2}, int64_t{1}}) {
    Work work(cuda::stereo_sgm_workspace_bytes(left, options, items));
    std::vector<int32_t> labels(kItems * kPixels), right_labels(labels);
    cuda::stereo_sgm(left, right, kItems, options,
                     {.labels = labels.data(), .right_labels = right_labels.data()}, work.queue());
    EXPECT_EQ(labels, expected) << items;
    EXPECT_EQ(right_labels, expected_right) << items;
  }
  Work small(cuda::stereo_sgm_workspace_bytes(left, options, 1) - 1);
  EXPECT_THROW(
      cuda::stereo_sgm(left, right, kItems, options, {.labels = expected.data()}, small.queue()),
      OutOfMemory);
}

TEST(DeviceStereo, BadArgumentsAreNamed) {
  const Images images;
  const ImageView left = Images::view(images.left), right = Images::view(images.right);
  std::vector<int32_t> labels(kPixels);
  const auto sgm = [&](const std::function<void(cuda::StereoSgmOptions&)>& change,
                       int64_t items = 1, int32_t* to = nullptr) {
    return [&, change, items, to] {
      cuda::StereoSgmOptions options;
      options.costs = census();
      change(options);
      cuda::stereo_sgm(left, right, items, options, {.labels = to}, {});
    };
  };
  using O = cuda::StereoSgmOptions;
  expect_refused("labels", sgm([](O&) {}));
  expect_refused("items", sgm([](O&) {}, 0, labels.data()));
  expect_refused("paths", sgm([](O& o) { o.paths = 16; }));
  expect_refused("p1", sgm([](O& o) { o.p1 = o.p2 + 1; }));
  expect_refused("p2", sgm([](O& o) { o.p2 = 7937; }));
  expect_refused("uniqueness", sgm([](O& o) { o.uniqueness = -1; }));
  expect_refused("max_difference", sgm([](O& o) { o.max_difference = std::nan(""); }));
  expect_refused("num_disparities", sgm([](O& o) { o.costs.num_disparities = 257; }));
  expect_refused("truncation", sgm([](O& o) { o.costs.truncation = 2.5F; }));
  expect_refused("border", sgm([](O& o) { o.costs.border = 256.0F; }));
  expect_refused("scale", sgm([](O& o) { o.costs.scale = 2.0F; }));
  expect_refused("window", sgm([](O& o) { o.costs.window_height = 4; }));
  expect_refused("out",
                 [&] { cuda::cost_volume(left, right, 1, census(), nullptr, cuda::Queue{}); });
  expect_refused("width", [&] {
    cuda::right_view_minimum(std::vector<float>(4).data(), 1, 1, 0, 4, 0, labels.data(), nullptr,
                             {});
  });
}

}  // namespace
}  // namespace mrfcore::test
