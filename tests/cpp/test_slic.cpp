// SPDX-License-Identifier: Apache-2.0
// SLIC against plain loops, on every instruction set and number of threads; what it refuses. (The
// definition once more, in NumPy: tests/python/plain_slic.py.)
#include "mrfcore/slic.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mrfcore::test {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

std::vector<int16_t> waves(const SlicOptions& o, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<int16_t> features;
  for (int64_t p = 0; p < o.batch * o.channels * o.height * o.width; ++p) {
    const auto x = static_cast<double>(p % o.width), y = static_cast<double>(p / o.width);
    const double wave = 900 * std::sin(x / 9) + 700 * std::cos((y + x) / 13);
    features.push_back(static_cast<int16_t>(wave + static_cast<double>(engine() % 300)));
  }
  return features;
}

struct Found {
  std::vector<int32_t> ids, counts;
};

Found run(const SlicOptions& o, const std::vector<int16_t>& features) {
  Found f{std::vector<int32_t>(at(o.batch * o.height * o.width), -1),
          std::vector<int32_t>(at(o.batch), -1)};
  slic(o, features.data(), f.ids.data(), f.counts.data());
  return f;
}

TEST(Slic, FlatPictureIsAGrid) {
  const SlicOptions o{.channels = 1, .height = 32, .width = 48, .num = 24};
  const Found f = run(o, std::vector<int16_t>(at(o.height * o.width), 100));
  EXPECT_EQ(o.rows() * o.columns(), f.counts[0]);
  for (int64_t y = 0; y < o.height; ++y) {
    for (int64_t x = 0; x < o.width; ++x) {
      const int64_t cell = y * o.rows() / o.height * o.columns() + x * o.columns() / o.width;
      ASSERT_EQ(cell, f.ids[at(y * o.width + x)]) << y << ' ' << x;
    }
  }
}

TEST(Slic, SameOnEveryMachine) {
  SlicOptions o{.batch = 2, .channels = 3, .height = 61, .width = 83, .num = 40};
  for (const int64_t channels : {1, 2, 3, 4, 6, 8}) {
    o.channels = channels;
    const std::vector<int16_t> features = waves(o, 1);
    o.threads = 1;
    ASSERT_EQ(0, setenv("MRFCORE_CPU_ISA", "baseline", 1));
    const Found expected = run(o, features);
    EXPECT_GT(expected.counts[0], 20);
    for (const char* isa : {"baseline", "avx2", "avx512"}) {
      setenv("MRFCORE_CPU_ISA", isa, 1);
      for (const int threads : {1, 3}) {
        o.threads = threads;
        Found found;
        try {
          found = run(o, features);
        } catch (const std::invalid_argument&) {
          continue;  // not on this machine
        }
        EXPECT_EQ(expected.ids, found.ids) << isa << ' ' << threads << ' ' << channels;
        EXPECT_EQ(expected.counts, found.counts);
      }
    }
    unsetenv("MRFCORE_CPU_ISA");
  }
}

/// Every pixel, in the end, is in one of the nine cells around its own; with no iterations in its
/// own; and a batch is its items.
TEST(Slic, CellsAndBatches) {
  SlicOptions o{.batch = 3, .height = 50, .width = 70, .num = 35, .connected = false};
  const std::vector<int16_t> features = waves(o, 2);
  const Found all = run(o, features);
  SlicOptions one = o;
  one.batch = 1;
  const int64_t pixels = o.height * o.width;
  for (int64_t b = 0; b < o.batch; ++b) {
    const auto from = features.begin() + b * 3 * pixels;
    const Found f = run(one, std::vector<int16_t>(from, from + 3 * pixels));
    for (int64_t p = 0; p < pixels; ++p) ASSERT_EQ(f.ids[at(p)], all.ids[at(b * pixels + p)]);
    EXPECT_EQ(f.counts[0], all.counts[at(b)]);
  }
  ASSERT_EQ(o.rows() * o.columns(), all.counts[0]) << "an empty cell: numbers are not cells";
  for (int64_t p = 0; p < pixels; ++p) {
    const int64_t row = p / o.width * o.rows() / o.height;
    const int64_t column = p % o.width * o.columns() / o.width;
    EXPECT_LE(std::abs(all.ids[at(p)] / o.columns() - row), 1);
    EXPECT_LE(std::abs(all.ids[at(p)] % o.columns() - column), 1);
  }
}

/// Cells of 72, 64 and 64 pixels: small ones join what touches them and is large or before them.
TEST(Slic, SmallPartsJoin) {
  SlicOptions o{.channels = 1, .height = 8, .width = 25, .num = 3, .iterations = 0};
  const std::vector<int16_t> features(at(o.height * o.width), 0);
  for (const auto& [least, parts] : {std::pair{64, 3}, {65, 1}, {72, 1}, {73, 1}}) {
    o.min_size = least;
    EXPECT_EQ(parts, run(o, features).counts[0]) << least;
  }
}

TEST(Slic, BytesAndFloatsAgree) {
  std::vector<uint8_t> bytes;
  std::vector<float> floats;
  for (int i = 0; i < 3 * 256; ++i) {
    bytes.push_back(static_cast<uint8_t>(i * 37 % 256));
    floats.push_back(static_cast<float>(bytes.back()) / 255.0f);
  }
  std::vector<int16_t> one(bytes.size()), two(bytes.size());
  slic_features<uint8_t>({bytes.data(), 1, 3, 16, 16, 0, 256, 16, 1}, SlicColors::Lab, 0.8, 1,
                         one.data());
  slic_features<float>({floats.data(), 1, 3, 16, 16, 0, 256, 16, 1}, SlicColors::Lab, 0.8, 2,
                       two.data());
  EXPECT_EQ(one, two);
}

template <class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(Slic, Refuses) {
  const SlicOptions good{.channels = 1, .height = 4, .width = 4, .num = 2};
  const auto message = [](const SlicOptions& o, int16_t value = 0) {
    std::vector<int16_t> features(4096, value);
    std::vector<int32_t> ids(4096), counts(16);
    return message_of([&] { slic(o, features.data(), ids.data(), counts.data()); });
  };
  EXPECT_EQ("nothing thrown", message(good));
  SlicOptions bad = good;
  bad.num = 17;
  EXPECT_EQ("num is 17, expected 1..16", message(bad));
  bad = good;
  bad.channels = 9;
  EXPECT_EQ("channels is 9, expected 1..8", message(bad));
  bad = good;
  bad.compactness = 101;
  EXPECT_EQ("compactness is 101.000000, expected 0..100", message(bad));
  EXPECT_EQ("features has values 0..5000, expected within -4095..4095", message(good, 5000));
  EXPECT_EQ("features has no data", message_of([&] { slic(good, nullptr, nullptr, nullptr); }));
  const std::vector<float> image(16, 2.0f);
  std::vector<int16_t> features(16);
  EXPECT_EQ("image is 2.000000 at (0, 0) of channel 0, expected numbers in 0..1", message_of([&] {
              slic_features<float>({image.data(), 1, 1, 4, 4, 16, 16, 4, 1}, SlicColors::Lab, 0, 1,
                                   features.data());
            }));
}

}  // namespace
}  // namespace mrfcore::test
