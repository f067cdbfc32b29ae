// SPDX-License-Identifier: Apache-2.0
// Soft superpixels against plain loops over pixels and slots, threads and instruction sets.
#include "mrfcore/soft_superpixel.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace mrfcore::test {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

template <class T>
struct Soft {
  SoftSuperpixels grid;
  std::vector<T> q, x, z;

  Soft(SoftSuperpixels g, unsigned seed) : grid(g) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    const auto draw = [&](std::vector<T>& to, int64_t size) {
      for (int64_t i = 0; i < size; ++i) to.push_back(static_cast<T>(normal(engine)));
    };
    const int64_t pixels = g.batch * g.height * g.width;
    draw(q, pixels * 9);
    draw(x, pixels * g.channels);
    draw(z, g.batch * g.channels * g.rows() * g.columns());
  }

  /// f(index of q, of x, of z) for every term of T(q, x, z).
  template <class F>
  void each_term(const F& f) const {
    const int64_t pixels = grid.height * grid.width, cells = grid.rows() * grid.columns();
    for (int64_t b = 0; b < grid.batch; ++b) {
      for (int64_t p = 0; p < pixels; ++p) {
        for (int64_t k = 0; k < 9; ++k) {
          const int64_t i = p / grid.width / grid.cell + k / 3 - 1;
          const int64_t j = p % grid.width / grid.cell + k % 3 - 1;
          if (i < 0 || i >= grid.rows() || j < 0 || j >= grid.columns()) continue;
          for (int64_t c = 0; c < grid.channels; ++c) {
            const int64_t plane = b * grid.channels + c;
            f(at((b * 9 + k) * pixels + p), at(plane * pixels + p),
              at(plane * cells + i * grid.columns() + j));
          }
        }
      }
    }
  }

  std::vector<T> pooled() const {
    std::vector<T> out(z.size(), T(7));
    soft_superpixel_pool<T>(grid, q.data(), x.data(), out.data());
    return out;
  }
  std::vector<T> unpooled() const {
    std::vector<T> out(x.size(), T(7));
    soft_superpixel_unpool<T>(grid, q.data(), z.data(), out.data());
    return out;
  }
  std::vector<T> product() const {
    std::vector<T> out(q.size(), T(7));
    soft_superpixel_product<T>(grid, x.data(), z.data(), out.data());
    return out;
  }
};

template <class T>
std::vector<Soft<T>> cases() {
  return {{{2, 5, 19, 35, 8}, 1},  {{1, 4, 32, 48, 16}, 2}, {{1, 1, 1, 1, 3}, 3},
          {{1, 3, 7, 40, 100}, 4}, {{1, 9, 40, 3, 5}, 5},   {{3, 2, 6, 6, 1}, 6}};
}

template <class T>
void expect_near(const std::vector<T>& got, const std::vector<double>& want) {
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(got[i]), want[i], sizeof(T) == 4 ? 2e-4 : 1e-11);
  }
}

template <class T>
class SoftSuperpixel : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(SoftSuperpixel, Types);

TYPED_TEST(SoftSuperpixel, AllThreeArePlainLoops) {
  using T = TypeParam;
  for (const Soft<T>& s : cases<T>()) {
    std::vector<double> z(s.z.size()), y(s.x.size()), g(s.q.size());
    s.each_term([&](size_t q, size_t x, size_t cell) {
      const auto a = static_cast<double>(s.q[q]), b = static_cast<double>(s.x[x]),
                 c = static_cast<double>(s.z[cell]);
      z[cell] += a * b;
      y[x] += a * c;
      g[q] += b * c;
    });
    expect_near(s.pooled(), z);
    expect_near(s.unpooled(), y);
    expect_near(s.product(), g);
  }
}

TYPED_TEST(SoftSuperpixel, SameBitsForAllInstructionSetsAndThreads) {
  using T = TypeParam;
  for (Soft<T>& s : cases<T>()) {
    s.grid.threads = 1;
    const auto z = s.pooled(), y = s.unpooled(), g = s.product();
    for (const char* isa : {"baseline", "avx2", "avx512"}) {
      setenv("MRFCORE_CPU_ISA", isa, 1);
      try {
        for (const int threads : {1, 2, 5}) {
          s.grid.threads = threads;
          EXPECT_EQ(s.pooled(), z) << isa;
          EXPECT_EQ(s.unpooled(), y) << isa;
          EXPECT_EQ(s.product(), g) << isa;
        }
      } catch (const std::invalid_argument&) {  // this machine does not have it
      }
      unsetenv("MRFCORE_CPU_ISA");
    }
  }
}

TEST(SoftSuperpixelErrors, NameTheArgument) {
  const Soft<float> s({1, 2, 4, 5, 2}, 1);
  std::vector<float> out(s.x.size());
  const auto message = [&](const SoftSuperpixels& grid, const float* q) -> std::string {
    try {
      soft_superpixel_unpool<float>(grid, q, s.z.data(), out.data());
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message(s.grid, nullptr), "q has no data");
  EXPECT_EQ(message({1, 2, 4, 5, 0}, s.q.data()), "cell is 0, expected 1..2147483647");
  EXPECT_EQ(message({1, 2, 0, 5, 2}, s.q.data()), "height is 0, expected 1..2147483647");
  EXPECT_EQ(message({1, -1, 4, 5, 2}, s.q.data()), "channels is -1, expected 1..2147483647");
}

}  // namespace
}  // namespace mrfcore::test
