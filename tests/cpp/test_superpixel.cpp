// SPDX-License-Identifier: Apache-2.0
// Superpixel pooling against plain loops over pixels, threads and instruction sets.
#include "mrfcore/superpixel.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace mrfcore::test {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

/// A map of squares (long runs) or of dice (short ones), and values on it.
template <class T>
struct Case {
  int64_t batch, channels, height, width, num;
  std::vector<int32_t> ids;
  std::vector<uint8_t> valid;
  std::vector<T> x;

  Case(int64_t b, int64_t c, int64_t h, int64_t w, int64_t side, unsigned seed)
      : batch(b), channels(c), height(h), width(w), num(0) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    const int64_t across = w / std::max<int64_t>(side, 1) + 1, dice = h * w / 5 + 1;
    num = (side > 0 ? (h / side + 1) * across : dice) + 2;  // the last two are empty
    for (int64_t i = 0; i < b * h * w; ++i) {
      const int64_t y = i % (h * w) / w, column = i % w;
      const int64_t id = side > 0 ? y / side * across + column / side
                                  : static_cast<int64_t>(engine() % static_cast<unsigned>(dice));
      ids.push_back(static_cast<int32_t>(id));
      valid.push_back(id % 3 != 0 && engine() % 4 != 0);
    }
    for (int64_t i = 0; i < b * c * h * w; ++i) x.push_back(static_cast<T>(normal(engine)));
  }

  int64_t pixels() const { return height * width; }
  SuperpixelMap map() const { return {ids.data(), IdType::Int32, batch, height, width, num}; }

  /// f(plane, pixel, superpixel's place in [batch, channels, num], pixel of the map).
  template <class F>
  void each(const F& f) const {
    for (int64_t plane = 0; plane < batch * channels; ++plane) {
      for (int64_t p = 0; p < pixels(); ++p) {
        const int64_t of_map = plane / channels * pixels() + p;
        f(at(plane * pixels() + p), at(plane * num + ids[at(of_map)]), at(of_map));
      }
    }
  }
};

template <class T>
std::vector<T> pooled(const Case<T>& c, SuperpixelReduce reduce, int threads = 1) {
  std::vector<T> z(at(c.batch * c.channels * c.num), T(7));
  superpixel_pool<T>(c.map(), c.channels, c.x.data(), reduce, threads, z.data());
  return z;
}

template <class T>
std::vector<T> consistent(const Case<T>& c, const std::vector<T>& x,
                          const ConsistencyOptions& options) {
  std::vector<T> out(x.size(), T(7));
  superpixel_consistency<T>(c.map(), c.channels, x.data(), options, out.data());
  return out;
}

template <class T>
std::vector<Case<T>> cases() {
  return {{2, 5, 33, 70, 16, 1}, {1, 4, 9, 11, 3, 2},  {2, 3, 20, 17, 0, 3},
          {1, 1, 1, 1, 1, 4},    {1, 9, 1, 65, 16, 5}, {1, 2, 64, 1, 32, 6}};
}

template <class T>
class Superpixel : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Superpixel, Types);

TYPED_TEST(Superpixel, PoolIsThePlainLoop) {
  using T = TypeParam;
  for (const Case<T>& c : cases<T>()) {
    const size_t size = at(c.batch * c.channels * c.num);
    std::vector<double> sums(size), counts(size), largest(size, -1e30);
    c.each([&](size_t pixel, size_t s, size_t) {
      const auto v = static_cast<double>(c.x[pixel]);
      sums[s] += v;
      counts[s] += 1;
      largest[s] = std::max(largest[s], v);
    });
    const auto sum = pooled(c, SuperpixelReduce::Sum), mean = pooled(c, SuperpixelReduce::Mean),
               top = pooled(c, SuperpixelReduce::Max);
    for (size_t s = 0; s < size; ++s) {
      const bool empty = counts[s] == 0;
      EXPECT_NEAR(static_cast<double>(sum[s]), sums[s], sizeof(T) == 4 ? 1e-4 : 1e-11);
      EXPECT_NEAR(static_cast<double>(mean[s]), empty ? 0 : sums[s] / counts[s], 1e-5);
      EXPECT_EQ(static_cast<double>(top[s]), empty ? 0 : largest[s]);
    }
  }
}

TYPED_TEST(Superpixel, WinnersAreTheFirstPixelsWithTheMaximum) {
  using T = TypeParam;
  for (Case<T>& c : cases<T>()) {
    for (T& v : c.x) v = std::round(v);  // ties
    const auto size = c.batch * c.channels * c.num;
    std::vector<T> z(at(size));
    std::vector<int64_t> winners(at(size), -7), expected(at(size), -1);
    superpixel_pool<T>(c.map(), c.channels, c.x.data(), SuperpixelReduce::Max, 1, z.data(),
                       winners.data());
    c.each([&](size_t pixel, size_t s, size_t) {
      if (expected[s] < 0 && c.x[pixel] == z[s]) {
        expected[s] = static_cast<int64_t>(pixel) % c.pixels();
      }
    });
    EXPECT_EQ(winners, expected);
  }
}

TYPED_TEST(Superpixel, UnpoolIsThePlainLoop) {
  using T = TypeParam;
  for (const Case<T>& c : cases<T>()) {
    const auto z = pooled(c, SuperpixelReduce::Sum), mean = pooled(c, SuperpixelReduce::Mean);
    std::vector<T> out(c.x.size()), divided(c.x.size()), expected(c.x.size()), means(c.x.size());
    superpixel_unpool<T>(c.map(), c.channels, z.data(), false, 1, out.data());
    superpixel_unpool<T>(c.map(), c.channels, z.data(), true, 1, divided.data());
    c.each([&](size_t pixel, size_t s, size_t) {
      expected[pixel] = z[s];
      means[pixel] = mean[s];
    });
    EXPECT_EQ(out, expected);
    EXPECT_EQ(divided, means);
  }
}

TYPED_TEST(Superpixel, ConsistencyIsThePlainLoop) {
  using T = TypeParam;
  for (const Case<T>& c : cases<T>()) {
    const size_t size = at(c.batch * c.channels * c.num);
    std::vector<double> sums(size), counts(size);
    c.each([&](size_t pixel, size_t s, size_t of_map) {
      if (c.valid[of_map] == 0) return;
      sums[s] += static_cast<double>(c.x[pixel]);
      counts[s] += 1;
    });
    const auto kept = consistent(c, c.x, {.valid = c.valid.data()});
    const auto zeroed = consistent(c, c.x, {.valid = c.valid.data(), .empty = NoValidPixel::Zero});
    c.each([&](size_t pixel, size_t s, size_t) {
      if (counts[s] > 0) {
        EXPECT_NEAR(static_cast<double>(kept[pixel]), sums[s] / counts[s], 1e-5);
        EXPECT_EQ(kept[pixel], zeroed[pixel]);
      } else {
        EXPECT_EQ(kept[pixel], c.x[pixel]);
        EXPECT_EQ(zeroed[pixel], T(0));
      }
    });
  }
}

TEST(SuperpixelAdjoint, ScalarProductsAgree) {
  for (const auto& c : cases<double>()) {
    const Case<double> other(c.batch, c.channels, c.height, c.width, 4, 77);
    for (const NoValidPixel empty : {NoValidPixel::Keep, NoValidPixel::Zero}) {
      ConsistencyOptions options{.valid = c.valid.data(), .empty = empty};
      const auto forward = consistent(c, c.x, options);
      options.adjoint = true;
      const auto back = consistent(c, other.x, options);
      double left = 0, right = 0;
      for (size_t i = 0; i < c.x.size(); ++i) {
        left += forward[i] * other.x[i];
        right += c.x[i] * back[i];
      }
      EXPECT_NEAR(left, right, 1e-10);
    }
  }
}

TYPED_TEST(Superpixel, SameBitsForAllInstructionSetsAndThreads) {
  using T = TypeParam;
  for (const Case<T>& c : cases<T>()) {
    const auto sums = pooled(c, SuperpixelReduce::Sum);
    const auto smooth = consistent(c, c.x, {});
    for (const char* isa : {"baseline", "avx2", "avx512"}) {
      setenv("MRFCORE_CPU_ISA", isa, 1);
      try {
        for (const int threads : {1, 2, 5}) {
          EXPECT_EQ(pooled(c, SuperpixelReduce::Sum, threads), sums) << isa;
          EXPECT_EQ(consistent(c, c.x, {.threads = threads}), smooth) << isa;
        }
      } catch (const std::invalid_argument&) {  // this machine does not have it
      }
      unsetenv("MRFCORE_CPU_ISA");
    }
  }
}

TEST(SuperpixelErrors, NameTheArgument) {
  const Case<float> c(1, 2, 4, 5, 2, 1);
  std::vector<float> z(at(c.channels * c.num)), out(c.x.size());
  const auto message = [&](SuperpixelMap map, int64_t channels, const float* x) -> std::string {
    try {
      superpixel_pool<float>(map, channels, x, SuperpixelReduce::Mean, 1, z.data());
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  SuperpixelMap map = c.map();
  EXPECT_EQ(message(map, 2, nullptr), "x has no data");
  EXPECT_EQ(message(map, 0, c.x.data()), "channels is 0, expected >= 1");
  map.num = 3;
  EXPECT_NE(message(map, 2, c.x.data()).find("is there, expected 0..2"), std::string::npos);
  map.num = 0;
  EXPECT_NE(message(map, 2, c.x.data()).find("num is 0"), std::string::npos);
  map = c.map();
  map.height = 0;
  EXPECT_NE(message(map, 2, c.x.data()).find("ids has shape [1, 0, 5]"), std::string::npos);
  const std::vector<int64_t> huge(20, int64_t{1} << 40);
  map = {huge.data(), IdType::Int64, 1, 4, 5, 0};
  EXPECT_THROW(superpixel_consistency<float>(map, 2, c.x.data(), {}, out.data()),
               std::invalid_argument);
}

}  // namespace
}  // namespace mrfcore::test
