// SPDX-License-Identifier: Apache-2.0
// Soft pooling, unpooling and product in the emulator: the CPU's bits, in three orders of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "emulator/emulator.hpp"
#include "superpixel_kernels.hpp"

namespace mrfcore::test {
namespace {

namespace kernels = cuda::kernels;

struct Case {
  int64_t channels, height, width, cell;
};

// Cells of whole eights and not, larger than the image, of one pixel; ragged last ones.
const std::vector<Case> kCases = {{1, 1, 1, 16}, {3, 32, 48, 16}, {21, 33, 35, 16}, {5, 20, 31, 10},
                                  {9, 7, 66, 3}, {2, 5, 9, 1},    {64, 18, 17, 8},  {4, 9, 70, 64}};

template <class T>
std::vector<T> numbers(int64_t size, uint32_t seed) {
  std::vector<T> values = Random(seed).array<T>(size, 4.0, 1e-6);
  for (T& value : values) value -= T(2);
  return values;
}

template <class T>
class CudaSoftSuperpixel : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaSoftSuperpixel, Reals);

TYPED_TEST(CudaSoftSuperpixel, BitsOfTheCpu) {
  using T = TypeParam;
  constexpr int64_t kBatch = 2;
  const T mark = T(77);
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::to_string(c.channels) + "x" + std::to_string(c.height) + "x" +
                 std::to_string(c.width) + ", cell " + std::to_string(c.cell));
    const SoftSuperpixels grid{.batch = kBatch,
                               .channels = c.channels,
                               .height = c.height,
                               .width = c.width,
                               .cell = c.cell,
                               .threads = 1};
    const int64_t pixels = kBatch * c.height * c.width;
    const int64_t cells = kBatch * c.channels * grid.rows() * grid.columns();
    const std::vector<T> x = numbers<T>(pixels * c.channels, 1), q = numbers<T>(pixels * 9, 2),
                         z = numbers<T>(cells, 3);
    std::vector<T> pooled(z.size()), unpooled(x.size()), product(q.size());
    soft_superpixel_pool<T>(grid, q.data(), x.data(), pooled.data());
    soft_superpixel_unpool<T>(grid, q.data(), z.data(), unpooled.data());
    soft_superpixel_product<T>(grid, x.data(), z.data(), product.data());
    for (const auto order :
         {emulator::Order::kForward, emulator::Order::kReversed, emulator::Order::kShuffled}) {
      const emulator::ScopedOrder scope(order);
      std::vector<T> scratch(
          static_cast<size_t>(kernels::soft_superpixel_pool_bytes<T>(grid)) / sizeof(T) + 1,
          std::nan(""));
      scratch.back() = mark;
      std::vector<T> found(z.size() + 1, mark);
      ASSERT_EQ(kernels::soft_superpixel_pool<T>(grid, q.data(), x.data(), found.data(),
                                                 scratch.data(), nullptr),
                0);
      EXPECT_EQ(found.back(), mark);
      EXPECT_EQ(scratch.back(), mark);
      found.pop_back();
      EXPECT_EQ(found, pooled);
      found.assign(x.size() + 1, mark);
      ASSERT_EQ(kernels::soft_superpixel_unpool<T>(grid, q.data(), z.data(), found.data(), nullptr),
                0);
      EXPECT_EQ(found.back(), mark);
      found.pop_back();
      EXPECT_EQ(found, unpooled);
      found.assign(q.size() + 1, mark);
      ASSERT_EQ(
          kernels::soft_superpixel_product<T>(grid, x.data(), z.data(), found.data(), nullptr), 0);
      EXPECT_EQ(found.back(), mark);
      found.pop_back();
      EXPECT_EQ(found, product);
    }
  }
}

}  // namespace
}  // namespace mrfcore::test
