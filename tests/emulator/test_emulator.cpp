// SPDX-License-Identifier: Apache-2.0
// Correct kernels, in all orders, against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <tuple>
#include <vector>

#include "emulator/emulator.hpp"
#include "emulator/sample_kernels.hpp"

namespace {

using emulator::Order;

template <class T>
std::vector<T> random_values(int count, int low, int high) {
  std::mt19937 random(static_cast<unsigned>(count));
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) {
    value = static_cast<T>(low + static_cast<int>(random() % static_cast<unsigned>(high - low)));
  }
  return values;
}

// Every test below runs forward, reversed, and shuffled by two seeds.
class EveryOrder : public testing::TestWithParam<std::tuple<Order, std::uint64_t>> {
 protected:
  EveryOrder() : order_(std::get<0>(GetParam()), std::get<1>(GetParam())) {}

 private:
  emulator::ScopedOrder order_;
};

INSTANTIATE_TEST_SUITE_P(Orders, EveryOrder,
                         testing::Values(std::tuple(Order::kForward, 1U),
                                         std::tuple(Order::kReversed, 1U),
                                         std::tuple(Order::kShuffled, 1U),
                                         std::tuple(Order::kShuffled, 2U)));

template <class T>
void check_block_sums(int count) {
  const auto in = random_values<T>(count, -50, 50);
  std::vector<T> out(static_cast<std::size_t>((count + 127) / 128));
  sample::block_sums(in.data(), out.data(), count);
  for (std::size_t b = 0; b < out.size(); ++b) {
    const auto begin = in.begin() + static_cast<std::ptrdiff_t>(128 * b);
    const auto end = in.begin() + std::min<std::ptrdiff_t>(128 * (static_cast<int>(b) + 1), count);
    EXPECT_EQ(out[b], std::accumulate(begin, end, T(0))) << "block " << b;
  }
}

TEST_P(EveryOrder, SumsOfBlocks) {
  check_block_sums<int>(1000);
  check_block_sums<double>(513);
}

TEST_P(EveryOrder, ScansOfSegments) {
  const auto in = random_values<float>(192, -9, 9);
  for (const int width : {2, 8, 32}) {
    std::vector<float> out(in.size());
    sample::segment_scans(in.data(), out.data(), 192, width);
    float sum = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
      sum = (i % static_cast<std::size_t>(width) == 0 ? 0 : sum) + in[i];
      EXPECT_EQ(out[i], sum) << "width " << width << ", i " << i;
    }
  }
}

TEST_P(EveryOrder, TransposesThroughSharedMemory) {
  for (const auto& [height, width] : {std::pair(8, 8), std::pair(13, 21), std::pair(1, 9)}) {
    const auto in = random_values<float>(height * width, 0, 1000);
    std::vector<float> out(in.size(), -1.0F);
    sample::transpose(in.data(), out.data(), height, width);
    for (int i = 0; i < height * width; ++i) {
      EXPECT_EQ(out[static_cast<std::size_t>(i % width * height + i / width)],
                in[static_cast<std::size_t>(i)]);
    }
  }
}

// As the programming guide describes them, lane by lane.
TEST_P(EveryOrder, Shuffles) {
  const auto in = random_values<int>(32, -1000, 1000);
  const auto value = [&](int lane) { return in[static_cast<std::size_t>(lane)]; };
  for (const int width : {4, 16, 32}) {
    for (const int operand : {0, 1, 5, 15, 31}) {
      std::vector<int> out(128);
      sample::shuffles(in.data(), out.data(), operand, width);
      for (int lane = 0; lane < 32; ++lane) {
        const int first = lane / width * width;
        const int up = lane - operand < first ? lane : lane - operand;
        const int down = lane + operand >= first + width ? lane : lane + operand;
        // Earlier segments may be read, later ones not.
        const int across = (lane ^ operand) >= first + width ? lane : lane ^ operand;
        const auto i = static_cast<std::size_t>(lane);
        EXPECT_EQ(out[i], value(first + operand % width));
        EXPECT_EQ(out[32 + i], value(up));
        EXPECT_EQ(out[64 + i], value(down));
        EXPECT_EQ(out[96 + i], value(across));
      }
    }
  }
}

TEST_P(EveryOrder, VotesAndReductions) {
  const auto in = random_values<int>(32, -1000, 1000);
  std::vector<unsigned> bits(in.begin(), in.end());
  std::vector<unsigned> out(sample::kVotes);
  sample::votes(in.data(), out.data());
  unsigned ballot = 0;
  for (unsigned i = 0; i < 32; ++i) ballot |= (in[i] % 2 != 0 ? 1U : 0U) << i;
  const auto all = [&](auto operation) {
    return std::accumulate(bits.begin() + 1, bits.end(), bits[0], operation);
  };
  const std::vector<unsigned> expected = {
      ballot,
      std::any_of(in.begin(), in.end(), [](int v) { return v < 0; }),
      std::all_of(in.begin(), in.end(), [](int v) { return v < 0; }),
      static_cast<unsigned>(*std::min_element(in.begin(), in.end())),
      static_cast<unsigned>(*std::max_element(in.begin(), in.end())),
      static_cast<unsigned>(std::accumulate(in.begin(), in.end(), 0)),
      *std::min_element(bits.begin(), bits.end()),
      *std::max_element(bits.begin(), bits.end()),
      all(std::plus<>()),
      all(std::bit_and<>()),
      all(std::bit_or<>()),
      all(std::bit_xor<>())};
  EXPECT_EQ(out, expected);
}

TEST_P(EveryOrder, VotesOfBlocks) {
  for (const int nonzero : {0, 1, 69, 70}) {
    std::vector<int> in(70, 0);
    std::fill_n(in.begin(), nonzero, -3);
    std::vector<int> out(3, -1);
    sample::block_votes(in.data(), out.data(), 70);
    EXPECT_EQ(out, (std::vector<int>{nonzero > 0, nonzero == 70, nonzero}));
  }
}

TEST_P(EveryOrder, Atomics) {
  constexpr int kBins = 17;
  const auto in = random_values<int>(1000, 0, 5000);
  std::vector<unsigned> counts(kBins, 0);
  std::vector<int> extremes = {1 << 30, -(1 << 30)};
  sample::histogram(in.data(), counts.data(), extremes.data(), 1000, kBins);
  std::vector<unsigned> expected(kBins, 0);
  for (const int value : in) ++expected[static_cast<std::size_t>(value % kBins)];
  EXPECT_EQ(counts, expected);
  EXPECT_EQ(extremes[0], *std::min_element(in.begin(), in.end()));
  EXPECT_EQ(extremes[1], *std::max_element(in.begin(), in.end()));
}

TEST_P(EveryOrder, BlocksThatTakeNumbersWaitForEarlierOnes) {
  constexpr int kCount = 600;
  const auto in = random_values<unsigned>(kCount, 0, 100);
  std::vector<unsigned> out(kCount);
  std::vector<unsigned> state(1 + 2 * 10, 0);
  sample::chained_scan(in.data(), out.data(), state.data(), kCount);
  std::vector<unsigned> expected(kCount);
  std::partial_sum(in.begin(), in.end(), expected.begin());
  EXPECT_EQ(out, expected);
}

TEST_P(EveryOrder, CooperativeGridsMeet) {
  constexpr int kCount = 250;
  const auto in = random_values<int>(kCount, -100, 100);
  std::vector<int> scratch(in.size());
  std::vector<int> out(in.size());
  sample::smooth_twice(in.data(), scratch.data(), out.data(), kCount);
  const auto smooth = [](const std::vector<int>& v) {
    std::vector<int> result(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) {
      result[i] = v[i == 0 ? 0 : i - 1] + v[i] + v[std::min(i + 1, v.size() - 1)];
    }
    return result;
  };
  EXPECT_EQ(out, smooth(smooth(in)));
}

// Blocks that are under way together take turns; alone, the first in reverse waits for ever.
TEST(BlocksAtOnce, WaitForEachOther) {
  int turn = 0;
  {
    const emulator::ScopedOrder scope(emulator::Order::kReversed, 1, 5);
    sample::take_turns(&turn, 5);
    EXPECT_EQ(turn, 5);
  }
  const emulator::ScopedOrder scope(emulator::Order::kReversed, 1, 4);
  turn = 0;
  EXPECT_THROW(sample::take_turns(&turn, 5), emulator::Error);
}

// Nothing here is wrong, though masks differ, branches part, and threads leave early.
TEST_P(EveryOrder, HalvesOfWarpsMayPart) {
  const std::vector<int> trips = {3, 0, 1, 7};
  std::vector<int> out(64, -1);
  sample::separate_halves(trips.data(), out.data());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], 16 * trips[i / 16]);
}

TEST_P(EveryOrder, VectorLoads) {
  float* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 400 * sizeof(float)), cudaSuccess);
  const auto in = random_values<float>(200, -100, 100);
  ASSERT_EQ(cudaMemcpyAsync(memory, in.data(), sizeof(float) * 200, cudaMemcpyHostToDevice),
            cudaSuccess);
  sample::vector_loads(memory, memory + 200, 200);
  for (std::size_t i = 0; i < 200; i += 4) {
    EXPECT_EQ(memory[200 + i], in[i] * 2 + 2);
    EXPECT_EQ(memory[201 + i], in[i + 1] * 2 + 2);
    EXPECT_EQ(memory[202 + i], std::min(in[i + 2], in[i + 3]));
    EXPECT_EQ(memory[203 + i], std::max(in[i + 2], in[i + 3]));
  }
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

}  // namespace
