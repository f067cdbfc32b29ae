// SPDX-License-Identifier: Apache-2.0
// Compact SGM in the emulator: sums and labels must be those of the CPU's float SGM on the same
// costs, both views' winners and disparities those of mrfcore.stereo's formulas on these sums.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "emulator/emulator.hpp"
#include "emulator/rows.hpp"
#include "mrfcore/cost_volume.hpp"
#include "stereo_kernels.hpp"

namespace mrfcore::test {
namespace {

struct CompactCase {
  Shape shape;
  int p1, p2;
  int most_cost = 255;
  int64_t min_disparity = 0;

  int64_t cells() const { return shape.height * shape.width * shape.labels; }
  std::string text() const {
    return shape.text() + ", p1 " + std::to_string(p1) + ", p2 " + std::to_string(p2) + ", from " +
           std::to_string(min_disparity);
  }
};

/// Scratch memory begins with rubbish, as a GPU's does.
struct Scratch {
  std::vector<uint64_t> words;

  Scratch(const cuda::CompactSgm& args, int64_t items)
      : words(static_cast<size_t>(cuda::compact_sgm_bytes(args, items) + 15) / 8,
              0xABCDEF0123456789U) {}
};

struct Results {
  std::vector<uint16_t> sums;
  std::vector<int32_t> labels, right;
  std::vector<float> disparity;

  explicit Results(const Shape& shape)
      : sums(static_cast<size_t>(shape.pixels() * shape.labels)),
        labels(static_cast<size_t>(shape.pixels())),
        right(labels.size()),
        disparity(labels.size()) {}
};

cuda::CompactSgm arguments(const CompactCase& c, const uint8_t* costs) {
  const int labels = static_cast<int>(c.shape.labels);
  return {c.shape.height, c.shape.width, labels, c.shape.connectivity, c.p1, c.p2,
          labels,         costs,         nullptr};
}

cuda::CompactWinners winners_of(const CompactCase& c, Results& r) {
  cuda::CompactWinners w{};
  w.min_disparity = c.min_disparity;
  w.labels = r.labels.data();
  w.sums = r.sums.data();
  w.right_labels = r.right.data();
  w.disparity = r.disparity.data();
  return w;
}

/// The CPU's float SGM.
struct Reference {
  std::vector<float> costs;
  std::vector<int32_t> labels;
};

Reference by_cpu(const CompactCase& c, const std::vector<uint8_t>& costs) {
  const std::vector<float> unary(costs.begin(), costs.end());
  Problem<float> problem;
  problem.batch = c.shape.batch;
  problem.height = c.shape.height;
  problem.width = c.shape.width;
  problem.labels = c.shape.labels;
  problem.connectivity = c.shape.connectivity;
  problem.unary = unary.data();
  problem.pairwise = Potential::sgm_penalty(c.p1, c.p2);
  Options options;
  options.solver = Solver::SGM;
  options.iterations = 1;
  options.threads = 1;
  Reference r{std::vector<float>(costs.size()),
              std::vector<int32_t>(static_cast<size_t>(c.shape.pixels()))};
  minimize(problem, options, {r.labels.data(), r.costs.data()});
  return r;
}

std::vector<int32_t> right_labels_of(const CompactCase& c, const std::vector<float>& sums) {
  std::vector<int32_t> labels(static_cast<size_t>(c.shape.pixels()));
  for (int64_t b = 0; b < c.shape.batch; ++b) {
    right_view_minimum(sums.data() + b * c.cells(), c.shape.height, c.shape.width, c.shape.labels,
                       c.min_disparity, 1, labels.data() + b * c.shape.height * c.shape.width,
                       nullptr);
  }
  return labels;
}

/// python/mrfcore/_stereo_post.py: subpixel_offsets, unique, consistent.
std::vector<float> disparities_of(const CompactCase& c, const cuda::CompactWinners& w,
                                  const Reference& r, const std::vector<int32_t>& right) {
  std::vector<float> disparity(r.labels.size());
  const int64_t count = c.shape.labels, width = c.shape.width;
  for (size_t i = 0; i < disparity.size(); ++i) {
    const float* cost = r.costs.data() + static_cast<int64_t>(i) * count;
    const int64_t label = r.labels[i], x = static_cast<int64_t>(i) % width;
    float d = static_cast<float>(c.min_disparity + label);
    if (w.subpixel && label > 0 && label < count - 1) {
      const float below = cost[label - 1], above = cost[label + 1];
      const float bend = below - 2 * cost[label] + above;
      if (bend > 0) d += std::clamp((below - above) / (2 * bend), -0.5F, 0.5F);
    }
    float rival = std::numeric_limits<float>::infinity();
    for (int64_t l = 0; l < count; ++l)
      if (std::abs(l - label) > 1) rival = std::min(rival, cost[l]);
    bool valid = w.uniqueness <= 0 || rival >= static_cast<float>(1.0 + w.uniqueness) * cost[label];
    if (w.left_right_check) {
      const int64_t match = x - c.min_disparity - label;
      const int32_t back =
          match >= 0 && match < width ? right[i - static_cast<size_t>(x - match)] : -1;
      valid = valid && back >= 0 && std::abs(static_cast<double>(back - label)) <= w.max_difference;
    }
    disparity[i] = valid ? d : std::numeric_limits<float>::quiet_NaN();
  }
  return disparity;
}

void expect_same_disparities(const std::vector<float>& got, const std::vector<float>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i])))
        << "pixel " << i << ": " << got[i] << ", expected " << expected[i];
  }
}

int64_t invalid(const std::vector<float>& disparity) {
  return std::count_if(disparity.begin(), disparity.end(), [](float d) { return std::isnan(d); });
}

std::vector<uint8_t> costs_of(const CompactCase& c, uint32_t seed = 5) {
  return Random(seed).array<uint8_t>(c.shape.pixels() * c.shape.labels, c.most_cost + 1.0, 1.0);
}

/// The costs lie at `memory`, rows `stride` apart.
Results expect_same(const CompactCase& c, const std::vector<uint8_t>& costs, const uint8_t* memory,
                    int64_t stride) {
  SCOPED_TRACE(c.text() + ", stride " + std::to_string(stride));
  cuda::CompactSgm args = arguments(c, memory);
  args.stride = stride;
  Scratch scratch(args, c.shape.batch);
  args.scratch = scratch.words.data();
  Results r(c.shape);
  const Reference expected = by_cpu(c, costs);
  const std::vector<int32_t> right = right_labels_of(c, expected.costs);
  EXPECT_EQ(cuda::compact_sgm(args, c.shape.batch, nullptr), 0);
  EXPECT_EQ(cuda::compact_sgm_winners(args, winners_of(c, r), c.shape.batch, nullptr), 0);
  EXPECT_EQ(std::vector<float>(r.sums.begin(), r.sums.end()), expected.costs);
  EXPECT_EQ(r.labels, expected.labels);
  EXPECT_EQ(r.right, right);
  for (const bool check : {false, true}) {
    cuda::CompactWinners w = winners_of(c, r);
    w.sums = nullptr;
    w.right_labels = nullptr;
    w.subpixel = true;
    w.uniqueness = check ? 0.02 : 0.0;
    w.left_right_check = check;
    w.max_difference = 1.0;
    EXPECT_EQ(cuda::compact_sgm_winners(args, w, c.shape.batch, nullptr), 0);
    EXPECT_EQ(r.labels, expected.labels);
    expect_same_disparities(r.disparity, disparities_of(c, w, expected, right));
  }
  return r;
}
void expect_same(const CompactCase& c) {
  const std::vector<uint8_t> costs = costs_of(c);
  const int64_t stride = cuda::compact_stride(static_cast<int>(c.shape.labels));
  expect_same(c, costs, costs.data(), c.shape.labels);
  for (const uint8_t beyond : {uint8_t{0}, uint8_t{255}}) {
    if (stride == c.shape.labels) break;
    const std::vector<uint8_t> rows = padded(costs, c.shape.labels, stride, beyond);
    expect_same(c, costs, rows.data(), stride);
  }
  if (testing::Test::HasFailure()) FAIL();  // one is enough
}

/// Penalties for each way to store messages: a byte for two, a byte for one, 16 bits.
struct Penalties {
  int p1, p2;
};
constexpr Penalties kPenalties[] = {{10, 120}, {0, 127},  {8, 128},
                                    {30, 255}, {20, 256}, {700, cuda::kMostCompactPenalty}};

TEST(CudaCompactSgm, IsTheFloatSgmForEveryWayToStoreIt) {
  for (const auto [p1, p2] : kPenalties) {
    for (const int paths : {4, 8}) {
      ASSERT_NO_FATAL_FAILURE(expect_same({{5, 7, 12, paths, 2}, p1, p2}));
      ASSERT_NO_FATAL_FAILURE(expect_same({{4, 6, 33, paths}, p1, p2, 12, -4}));
    }
  }
}

TEST(CudaCompactSgm, TakesAnyNumberOfLabels) {
  for (const int64_t labels :
       {1, 2, 3, 31, 32, 63, 64, 65, 66, 100, 128, 129, 132, 192, 255, 256}) {
    for (const int p2 : {100, 200, 300})
      ASSERT_NO_FATAL_FAILURE(expect_same({{3, 4, labels, 8, 2}, 7, p2, 40, 1 - labels / 2}));
  }
}

TEST(CudaCompactSgm, TakesAnySizes) {
  for (const Shape& shape : {Shape{1, 1, 5, 8}, Shape{1, 37, 5, 8}, Shape{23, 1, 5, 8},
                             Shape{3, 131, 9, 8}, Shape{2, 64, 3, 4}, Shape{11, 6, 40, 8, 3}}) {
    for (const int p2 : {40, 400}) ASSERT_NO_FATAL_FAILURE(expect_same({shape, 3, p2, 63, 2}));
  }
}

/// Costs of 0 and 1: ties everywhere.
TEST(CudaCompactSgm, TakesTheLowestOfEqualLabels) {
  for (const int64_t labels : {20, 70, 130})
    ASSERT_NO_FATAL_FAILURE(expect_same({{6, 9, labels, 8}, 1, 2, 1, 0}));
}

/// Nothing overflows: in the middle, messages of all paths and so the sum are the greatest there
/// are.
TEST(CudaCompactSgm, HoldsTheGreatestSums) {
  const CompactCase c{{70, 70, 5, 8}, cuda::kMostCompactPenalty, cuda::kMostCompactPenalty};
  std::vector<uint8_t> costs(static_cast<size_t>(c.cells()), 255);
  for (size_t i = 0; i < costs.size(); i += 5) costs[i] = 0;
  const Results r = expect_same(c, costs, costs.data(), 5);
  EXPECT_EQ(*std::max_element(r.sums.begin(), r.sums.end()), 8 * (255 + cuda::kMostCompactPenalty));
}

/// Rows are words of memory only if the first one is.
TEST(CudaCompactSgm, TakesCostsThatBeginAnywhere) {
  for (const int64_t labels : {64, 128, 256}) {
    const CompactCase c{{2, 5, labels, 8}, 4, 50};
    const std::vector<uint8_t> costs = costs_of(c);
    std::vector<uint8_t> moved(costs.size() + 1);
    std::copy(costs.begin(), costs.end(), moved.begin() + 1);
    expect_same(c, costs, moved.data() + 1, labels);
    const std::vector<uint8_t> rows = padded(costs, labels, labels + 1, uint8_t{0});
    expect_same(c, costs, rows.data(), labels + 1);
  }
}

TEST(CudaCompactSgm, DoesNotDependOnTheOrderOfThreads) {
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 6);
    for (const int p2 : {90, 250, 999})
      ASSERT_NO_FATAL_FAILURE(expect_same({{5, 70, 67, 8, 2}, 5, p2, 50, -3}));
  }
}

/// From a pair of images to disparities; the right one is the left one moved by 6 columns.
TEST(CudaCompactSgm, FindsTheDisparityOfAShiftedImage) {
  const int64_t height = 9, width = 60, shift = 6;
  const auto pixels = static_cast<size_t>(height * width);
  const std::vector<uint8_t> left = Random(8).array<uint8_t>(height * width, 256.0, 1.0);
  std::vector<uint8_t> right(pixels);
  for (size_t i = 0; i < pixels; ++i) right[i] = left[std::min(i + shift, pixels - 1)];
  CompactCase c{{height, width, 16, 8}, 3, 40};
  cpu::CostVolumeArgs volume{};
  volume.left = left.data();
  volume.right = right.data();
  volume.cost = StereoCost::Census;
  volume.height = height;
  volume.width = width;
  volume.channels = 1;
  volume.num_disparities = 16;
  volume.window_height = volume.window_width = 5;
  volume.truncation = 255.0F;
  volume.border = 24.0F;
  volume.scale = 1.0F;
  std::vector<uint64_t> codes(static_cast<size_t>(cuda::census_bytes(height, width, 1)) / 8);
  std::vector<uint8_t> costs(static_cast<size_t>(c.cells()));
  ASSERT_EQ(cuda::byte_cost_volume(volume, 1, codes.data(), costs.data(), 16, nullptr), 0);
  cuda::CompactSgm args = arguments(c, costs.data());
  Scratch scratch(args, 1);
  args.scratch = scratch.words.data();
  Results r(c.shape);
  cuda::CompactWinners w = winners_of(c, r);
  w.left_right_check = true;
  w.max_difference = 1.0;
  ASSERT_EQ(cuda::compact_sgm(args, 1, nullptr), 0);
  ASSERT_EQ(cuda::compact_sgm_winners(args, w, 1, nullptr), 0);
  for (int64_t i = 0; i < height * width; ++i) {
    if (i % width < 12 || i % width >= width - 12) continue;
    ASSERT_EQ(r.disparity[static_cast<size_t>(i)], 6.0F) << "pixel " << i;
  }
  EXPECT_GT(invalid(r.disparity), 0);  // what has no match in the right image
}

TEST(CudaCompactSgm, RefusesWhatItCannotHold) {
  const std::vector<uint8_t> costs(1000);
  const auto refused = [&](const CompactCase& c) {
    const cuda::CompactSgm args = arguments(c, costs.data());
    return cuda::compact_sgm_bytes(args, 1) == 0 && cuda::compact_sgm(args, 1, nullptr) != 0 &&
           cuda::compact_sgm_winners(args, {}, 1, nullptr) != 0;
  };
  EXPECT_TRUE(refused({{1, 1, 257, 8}, 1, 2}));
  EXPECT_TRUE(refused({{1, 1, 0, 8}, 1, 2}));
  EXPECT_TRUE(refused({{1, 1, 3, 16}, 1, 2}));
  EXPECT_TRUE(refused({{1, 1, 3, 8}, 3, 2}));
  EXPECT_TRUE(refused({{1, 1, 3, 8}, -1, 2}));
  EXPECT_TRUE(refused({{1, 1, 3, 8}, 1, cuda::kMostCompactPenalty + 1}));
}

TEST(CudaCompactSgm, TakesNoMoreMemoryThanItSays) {
  const std::vector<uint8_t> costs(1);
  const auto bytes = [&](int64_t labels, int paths, int p2) {
    return cuda::compact_sgm_bytes(arguments({{10, 16, labels, paths}, 1, p2}, costs.data()), 2);
  };
  const int64_t keys = 2 * 160 * 4;
  EXPECT_EQ(bytes(64, 8, 127), 2 * 160 * 64 * 4 + keys);
  EXPECT_EQ(bytes(64, 8, 128), 2 * 160 * 64 * 8 + keys);
  EXPECT_EQ(bytes(64, 4, 256), 2 * 160 * 64 * 2 * 2 + keys);
  EXPECT_EQ(bytes(65, 8, 127), 2 * 160 * 68 * 4 + keys);
}

}  // namespace
}  // namespace mrfcore::test
