// SPDX-License-Identifier: Apache-2.0
// Semi-global matching in whole numbers against loops of the published recursion, on every
// instruction set and number of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "instances.hpp"
#include "mrfcore/error.hpp"
#include "mrfcore/minimize.hpp"
#include "mrfcore/stereo_sgm.hpp"

namespace mrfcore::test {
namespace {

struct Pair {
  int64_t height, width, channels;
  std::vector<uint8_t> left, right;
  ImageView view(const std::vector<uint8_t>& pixels) const {
    return {pixels.data(), PixelType::UInt8, height, width, channels};
  }
};

/// Noise, the left one shifted by 3 pixels and disturbed.
Pair noisy_pair(int64_t height, int64_t width, int64_t channels, uint32_t seed) {
  Random random(seed);
  Pair pair{height, width, channels, {}, {}};
  pair.right = random.array<uint8_t>(height * width * channels, 256.0, 1.0);
  const auto noise = random.array<uint8_t>(height * width * channels, 9.0, 1.0);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t from = (y * width + std::max<int64_t>(x - 3, 0)) * channels + c;
        const int value = pair.right[static_cast<size_t>(from)] +
                          noise[static_cast<size_t>((y * width + x) * channels + c)];
        pair.left.push_back(static_cast<uint8_t>(std::min(value, 255)));
      }
    }
  }
  return pair;
}

struct Maps {
  std::vector<int32_t> labels, right;
  std::vector<float> disparity;
};

/// Sums over paths, one recursion after the other, in plain integers.
std::vector<int> path_sums(const std::vector<int>& costs, int64_t height, int64_t width, int labels,
                           const StereoSgmOptions& o) {
  constexpr int kSteps[8][2] = {{0, 1}, {0, -1},  {1, 0},  {-1, 0},
                                {1, 1}, {-1, -1}, {1, -1}, {-1, 1}};
  std::vector<int> sums(costs.size(), 0);
  const auto cells = [&](int64_t y, int64_t x) {
    return static_cast<size_t>((y * width + x) * labels);
  };
  for (int r = 0; r < o.paths; ++r) {
    const int64_t dy = kSteps[r][0], dx = kSteps[r][1];
    std::vector<int> path(costs.size());
    for (int64_t i = 0; i < height * width; ++i) {
      const bool forward = dy > 0 || (dy == 0 && dx > 0);
      const int64_t at = forward ? i : height * width - 1 - i, y = at / width, x = at % width;
      const bool starts = y - dy < 0 || y - dy >= height || x - dx < 0 || x - dx >= width;
      const int* before = starts ? nullptr : &path[cells(y - dy, x - dx)];
      const int least = starts ? 0 : *std::min_element(before, before + labels);
      for (int l = 0; l < labels; ++l) {
        int message = 0;
        if (!starts) {
          message = std::min(before[l], least + static_cast<int>(o.p2));
          if (l > 0) message = std::min(message, before[l - 1] + static_cast<int>(o.p1));
          if (l + 1 < labels) message = std::min(message, before[l + 1] + static_cast<int>(o.p1));
        }
        path[cells(y, x) + static_cast<size_t>(l)] =
            costs[cells(y, x) + static_cast<size_t>(l)] + message - least;
        sums[cells(y, x) + static_cast<size_t>(l)] += path[cells(y, x) + static_cast<size_t>(l)];
      }
    }
  }
  return sums;
}

float refined(const int* sums, int label, int labels, const StereoSgmOptions& o) {
  const auto whole = static_cast<float>(o.costs.min_disparity + label);
  if (!o.subpixel || label == 0 || label + 1 == labels) return whole;
  const auto below = static_cast<float>(sums[label - 1]), here = static_cast<float>(sums[label]),
             above = static_cast<float>(sums[label + 1]), bend = below - 2.0F * here + above;
  if (!(bend > 0.0F)) return whole;
  return whole + std::clamp((below - above) / (2.0F * bend), -0.5F, 0.5F);
}

bool beaten(const int* sums, int label, int labels, const StereoSgmOptions& o) {
  const float bound = static_cast<float>(1.0 + o.uniqueness) * static_cast<float>(sums[label]);
  for (int l = 0; l < labels; ++l) {
    if (std::abs(l - label) > 1 && !(static_cast<float>(sums[l]) >= bound)) return true;
  }
  return false;
}

Maps plain(const Pair& pair, const StereoSgmOptions& o) {
  const int64_t height = pair.height, width = pair.width, first = o.costs.min_disparity;
  const auto labels = static_cast<int>(o.costs.num_disparities);
  std::vector<float> volume(static_cast<size_t>(height * width * labels));
  CostVolumeOptions byte_costs = o.costs;
  byte_costs.truncation = std::min(byte_costs.truncation, 255.0F);
  cost_volume(pair.view(pair.left), pair.view(pair.right), byte_costs, volume.data());
  const std::vector<int> sums =
      path_sums(std::vector<int>(volume.begin(), volume.end()), height, width, labels, o);
  Maps maps;
  const auto pixels = static_cast<size_t>(height * width);
  maps.labels.resize(pixels);
  maps.disparity.resize(pixels);
  maps.right.assign(pixels, -1);
  std::vector<int> best(pixels, std::numeric_limits<int>::max());
  const auto row = [&](int64_t i) { return &sums[static_cast<size_t>(i * labels)]; };
  for (int64_t i = 0; i < height * width; ++i) {
    maps.labels[static_cast<size_t>(i)] =
        static_cast<int32_t>(std::min_element(row(i), row(i) + labels) - row(i));
    for (int l = 0; l < labels; ++l) {
      const int64_t match = i % width - first - l;
      if (match < 0 || match >= width) continue;
      const auto at = static_cast<size_t>(i - i % width + match);
      if (row(i)[l] < best[at]) {
        best[at] = row(i)[l];
        maps.right[at] = l;
      }
    }
  }
  for (int64_t i = 0; i < height * width; ++i) {
    const int label = maps.labels[static_cast<size_t>(i)];
    float& disparity = maps.disparity[static_cast<size_t>(i)];
    disparity = refined(row(i), label, labels, o);
    if (o.uniqueness > 0 && beaten(row(i), label, labels, o)) disparity = std::nanf("");
    if (!o.left_right_check) continue;
    const int64_t match = i % width - first - label;
    const int back =
        match >= 0 && match < width ? maps.right[static_cast<size_t>(i - i % width + match)] : -1;
    if (back < 0 || std::abs(back - label) > o.max_difference) disparity = std::nanf("");
  }
  return maps;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])))) return false;
  }
  return a.size() == b.size();
}

Maps found(const Pair& pair, const StereoSgmOptions& o) {
  const auto pixels = static_cast<size_t>(pair.height * pair.width);
  Maps maps{std::vector<int32_t>(pixels, -7), std::vector<int32_t>(pixels, -7),
            std::vector<float>(pixels, -7.0F)};
  stereo_sgm(pair.view(pair.left), pair.view(pair.right), 1, o,
             {.labels = maps.labels.data(),
              .disparity = maps.disparity.data(),
              .right_labels = maps.right.data()});
  return maps;
}

void expect_plain(const Pair& pair, const StereoSgmOptions& options) {
  const Maps expected = plain(pair, options);
  for (const char* isa : {"baseline", "avx2", "avx512"}) {
    const ScopedEnv env("MRFCORE_CPU_ISA", isa);
    for (const int threads : {1, 2, 3, 8}) {
      StereoSgmOptions o = options;
      o.costs.threads = threads;
      Maps maps;
      try {
        maps = found(pair, o);
      } catch (const std::invalid_argument&) {
        continue;  // not on this machine
      }
      const std::string where = std::string(isa) + ", threads " + std::to_string(threads) +
                                ", labels " + std::to_string(o.costs.num_disparities) + ", p2 " +
                                std::to_string(o.p2) + ", paths " + std::to_string(o.paths);
      EXPECT_EQ(maps.labels, expected.labels) << where;
      EXPECT_EQ(maps.right, expected.right) << where;
      EXPECT_TRUE(same_bits(maps.disparity, expected.disparity)) << where;
    }
  }
}

StereoSgmOptions census(int64_t labels) {
  StereoSgmOptions o;
  o.costs.cost = StereoCost::Census;
  o.costs.num_disparities = labels;
  o.uniqueness = 0.05;
  return o;
}

TEST(StereoSgm, EveryNumberOfVectors) {
  const Pair pair = noisy_pair(9, 75, 1, 1);
  for (const int64_t labels : {1, 2, 3, 15, 16, 17, 31, 33, 48, 64, 65, 70, 96, 100})
    expect_plain(pair, census(labels));
  const Pair wide = noisy_pair(5, 301, 1, 2);
  for (const int64_t labels : {128, 129, 192, 193, 255, 256}) expect_plain(wide, census(labels));
}

TEST(StereoSgm, Penalties) {
  const Pair pair = noisy_pair(11, 70, 3, 3);
  // Bytes throughout up to 63 (8 paths), 127 (4); messages are bytes up to 193.
  for (const int64_t p2 : {0, 1, 63, 64, 127, 128, 193, 194, 255, 256, 7936}) {
    for (const int paths : {4, 8}) {
      StereoSgmOptions o = census(40);
      o.p2 = p2;
      o.p1 = p2 / 3;
      o.paths = paths;
      expect_plain(pair, o);
    }
  }
}

TEST(StereoSgm, LargestSums) {
  const Pair pair = noisy_pair(8, 40, 3, 4);
  StereoSgmOptions o = census(24);
  o.costs.cost = StereoCost::Absolute;  // costs up to 255
  o.p1 = 7000;
  for (const int64_t p2 : {7936, 7000}) {
    o.p2 = p2;
    expect_plain(pair, o);
  }
  o.p1 = o.p2 = 0;  // bytes: all of 255
  expect_plain(pair, o);
  o.uniqueness = 1e30;
  expect_plain(pair, o);
}

TEST(StereoSgm, Costs) {
  for (const int64_t channels : {1, 3}) {
    const Pair pair = noisy_pair(7, 50, channels, 5);
    for (const StereoCost cost : {StereoCost::Absolute, StereoCost::BirchfieldTomasi}) {
      for (const float truncation : {std::numeric_limits<float>::infinity(), 60.0F, 0.0F}) {
        StereoSgmOptions o = census(20);
        o.costs.cost = cost;
        o.costs.truncation = truncation;
        o.costs.border = channels == 1 ? std::nullopt : std::optional<float>(17.0F);
        expect_plain(pair, o);
      }
    }
    for (const auto& [height, width] : {std::pair<int, int>{1, 3},
                                        {3, 3},
                                        {3, 1},
                                        {5, 5},
                                        {1, 65},
                                        {65, 1},
                                        {7, 7},
                                        {5, 13},
                                        {9, 7}}) {
      StereoSgmOptions o = census(20);
      o.costs.window_height = height;
      o.costs.window_width = width;
      o.costs.truncation = height == 5 ? 9.0F : std::numeric_limits<float>::infinity();
      expect_plain(pair, o);
    }
  }
}

TEST(StereoSgm, RangesOfDisparities) {
  const Pair pair = noisy_pair(6, 45, 1, 6);
  for (const int64_t first : {-100, -44, -20, -3, 2, 30, 44, 60}) {
    for (const int64_t labels : {5, 70}) {
      StereoSgmOptions o = census(labels);
      o.costs.min_disparity = first;
      expect_plain(pair, o);
    }
  }
}

TEST(StereoSgm, SmallImages) {
  for (const int64_t height : {1, 2, 3, 9}) {
    for (const int64_t width : {1, 2, 3, 31, 33}) {
      expect_plain(noisy_pair(height, width, 1, 7), census(6));
      StereoSgmOptions four = census(6);
      four.paths = 4;
      expect_plain(noisy_pair(height, width, 1, 8), four);
    }
  }
}

TEST(StereoSgm, Checks) {
  const Pair pair = noisy_pair(9, 60, 1, 9);
  for (const double uniqueness : {0.0, 0.01, 0.3, 40.0}) {
    for (const double difference : {0.0, 1.0, 2.5, 1e30}) {
      for (const bool check : {true, false}) {
        StereoSgmOptions o = census(22);
        o.uniqueness = uniqueness;
        o.max_difference = difference;
        o.left_right_check = check;
        o.subpixel = check;
        expect_plain(pair, o);
      }
    }
  }
}

/// Large enough for threads to be used, against the float engine.
TEST(StereoSgm, SolvesWhatMinimizeDoes) {
  const Pair pair = noisy_pair(70, 130, 3, 10);
  for (const int paths : {4, 8}) {
    StereoSgmOptions o = census(60);
    o.paths = paths;
    std::vector<float> volume(static_cast<size_t>(pair.height * pair.width * 60)), sums(volume);
    cost_volume(pair.view(pair.left), pair.view(pair.right), o.costs, volume.data());
    Problem<float> problem;
    problem.batch = 1;
    problem.height = pair.height;
    problem.width = pair.width;
    problem.labels = 60;
    problem.connectivity = paths;
    problem.unary = volume.data();
    problem.pairwise = Potential::sgm_penalty(30, 60);
    Options solve;
    solve.solver = Solver::SGM;
    solve.iterations = 1;
    std::vector<int32_t> expected(static_cast<size_t>(pair.height * pair.width)), right(expected);
    minimize(problem, solve, {expected.data(), sums.data()});
    right_view_minimum(sums.data(), pair.height, pair.width, 60, 0, 1, right.data(), nullptr);
    for (const int threads : {1, 2, 3, 4, 7}) {
      o.costs.threads = threads;
      const Maps maps = found(pair, o);
      EXPECT_EQ(maps.labels, expected) << threads;
      EXPECT_EQ(maps.right, right) << threads;
    }
  }
}

TEST(StereoSgm, FloatImages) {
  const Pair pair = noisy_pair(8, 40, 3, 11);
  const std::vector<float> left(pair.left.begin(), pair.left.end()),
      right(pair.right.begin(), pair.right.end());
  const auto view = [&](const std::vector<float>& pixels) {
    return ImageView{pixels.data(), PixelType::Float32, pair.height, pair.width, pair.channels};
  };
  StereoSgmOptions o = census(20);
  std::vector<float> volume(static_cast<size_t>(pair.height * pair.width * 20));
  cost_volume(view(left), view(right), o.costs, volume.data());
  const std::vector<int> sums =
      path_sums(std::vector<int>(volume.begin(), volume.end()), pair.height, pair.width, 20, o);
  std::vector<int32_t> labels(static_cast<size_t>(pair.height * pair.width));
  stereo_sgm(view(left), view(right), 1, o, {.labels = labels.data()});
  for (size_t i = 0; i < labels.size(); ++i) {
    const int* row = &sums[i * 20];
    EXPECT_EQ(labels[i], std::min_element(row, row + 20) - row);
  }
}

TEST(StereoSgm, Batches) {
  const Pair one = noisy_pair(6, 40, 3, 12), other = noisy_pair(6, 40, 3, 13);
  Pair both = one;
  both.left.insert(both.left.end(), other.left.begin(), other.left.end());
  both.right.insert(both.right.end(), other.right.begin(), other.right.end());
  std::vector<int32_t> labels(2 * 6 * 40);
  stereo_sgm(both.view(both.left), both.view(both.right), 2, census(20), {.labels = labels.data()});
  std::vector<int32_t> expected = plain(one, census(20)).labels;
  const std::vector<int32_t> second = plain(other, census(20)).labels;
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(labels, expected);
}

/// Calls of one thread know nothing of the team around them, whose threads make 3, 2, 2 and 2.
TEST(StereoSgm, CallsFromParallelRegions) {
  const Pair pair = noisy_pair(9, 40, 1, 16);
  StereoSgmOptions o = census(20);
  o.costs.threads = 1;
  const std::vector<int32_t> expected = plain(pair, o).labels;
  std::vector<int> same(9, 0);
#pragma omp parallel for num_threads(4)
  for (size_t i = 0; i < same.size(); ++i) same[i] = found(pair, o).labels == expected;
  EXPECT_EQ(same, std::vector<int>(9, 1));
}

TEST(StereoSgm, StopsWhenAsked) {
  constexpr int64_t kItems = 100;  // takes longer than the 50 ms after which callers are asked
  Pair pair = noisy_pair(300, 500, 1, 14);
  const std::vector<uint8_t> left = pair.left, right = pair.right;
  for (int64_t i = 1; i < kItems; ++i) {
    pair.left.insert(pair.left.end(), left.begin(), left.end());
    pair.right.insert(pair.right.end(), right.begin(), right.end());
  }
  std::vector<int32_t> labels(pair.left.size());
  for (const int threads : {1, 2, 5}) {
    StereoSgmOptions o = census(128);
    o.costs.threads = threads;
    int asked = 0;
    o.interrupted = [&] { return ++asked > 0; };
    EXPECT_THROW(stereo_sgm(pair.view(pair.left), pair.view(pair.right), kItems, o,
                            {.labels = labels.data()}),
                 Interrupted);
    EXPECT_EQ(asked, 1);
  }
}

TEST(StereoSgm, BadArgumentsAreNamed) {
  const Pair pair = noisy_pair(4, 9, 1, 15);
  std::vector<int32_t> labels(36);
  const auto expect_refused = [&](const std::string& name, auto change, int32_t* to,
                                  int64_t n = 1) {
    StereoSgmOptions o = census(4);
    change(o);
    try {
      stereo_sgm(pair.view(pair.left), pair.view(pair.right), n, o, {.labels = to});
      ADD_FAILURE() << name << " was accepted";
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  };
  using O = StereoSgmOptions;
  expect_refused("labels", [](O&) {}, nullptr);
  expect_refused("items", [](O&) {}, labels.data(), 0);
  expect_refused("paths", [](O& o) { o.paths = 16; }, labels.data());
  expect_refused("p1", [](O& o) { o.p1 = o.p2 + 1; }, labels.data());
  expect_refused("p2", [](O& o) { o.p2 = 7937; }, labels.data());
  expect_refused("uniqueness", [](O& o) { o.uniqueness = -1; }, labels.data());
  expect_refused("max_difference", [](O& o) { o.max_difference = std::nan(""); }, labels.data());
  expect_refused("num_disparities", [](O& o) { o.costs.num_disparities = 257; }, labels.data());
  expect_refused("truncation", [](O& o) { o.costs.truncation = 2.5F; }, labels.data());
  expect_refused("border", [](O& o) { o.costs.border = 256.0F; }, labels.data());
  expect_refused("scale", [](O& o) { o.costs.scale = 2.0F; }, labels.data());
  expect_refused("cost", [](O& o) { o.costs.cost = StereoCost::Squared; }, labels.data());
  expect_refused("window", [](O& o) { o.costs.window_height = 4; }, labels.data());
  expect_refused("threads", [](O& o) { o.costs.threads = -1; }, labels.data());
}

TEST(StereoSgm, WorkingMemory) {
  StereoSgmOptions o = census(128);
  const ImageView view{reinterpret_cast<const void*>(64), PixelType::UInt8, 480, 640, 1};
  const int64_t cells = int64_t{480} * 640 * 128;
  const int64_t bytes = stereo_sgm_bytes(view, o);
  EXPECT_GE(bytes, cells);
  EXPECT_LE(bytes, cells + cells / 4);
  o.p2 = 64;
  EXPECT_GE(stereo_sgm_bytes(view, o), 2 * cells);
  // More than there is: refused before anything is allocated.
  const ImageView huge{view.data, PixelType::UInt8, int64_t{1} << 21, int64_t{1} << 21, 1};
  std::vector<int32_t> labels(1);
  EXPECT_THROW(stereo_sgm(huge, huge, 1, o, {.labels = labels.data()}), OutOfMemory);
}

}  // namespace
}  // namespace mrfcore::test
