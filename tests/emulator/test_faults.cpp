// SPDX-License-Identifier: Apache-2.0
// Wrong kernels are found out, with their place, in every order; the emulator goes on afterwards.
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "device.cuh"
#include "emulator/faulty_kernels.hpp"
#include "emulator/sample_kernels.hpp"
#include "emulator/sanitizers.hpp"

namespace {

using emulator::Fault;
using emulator::Order;
using faulty::Mistake;

const std::vector<Order> kOrders = {Order::kForward, Order::kReversed, Order::kShuffled};

// Runs it and hands back what it throws.
template <class F>
emulator::Error error_of(F run) {
  try {
    run();
  } catch (const emulator::Error& error) {
    return error;
  }
  throw std::runtime_error("nothing was found out");
}

emulator::Error error_of(Mistake mistake) {
  std::vector<float> out(64);
  return error_of([&] { faulty::run(mistake, out.data()); });
}

void expect_text(const emulator::Error& error, const std::string& part) {
  EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
}

struct Case {
  Mistake mistake;
  Fault fault;
  const char* text;
};

class EveryMistake : public testing::TestWithParam<Case> {};

TEST_P(EveryMistake, IsFoundOutInEveryOrder) {
  for (const Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    const emulator::Error error = error_of(GetParam().mistake);
    EXPECT_EQ(error.fault(), GetParam().fault) << error.what();
    EXPECT_EQ(error.place().kernel, "mistakes_kernel");
    expect_text(error, GetParam().text);
    // Nothing of it is left behind.
    std::vector<int> in(128, 1);
    int sum = 0;
    sample::block_sums(in.data(), &sum, 128);
    EXPECT_EQ(sum, 128);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, EveryMistake,
    testing::Values(
        Case{Mistake::kBarrierAfterExit, Fault::kDivergentBarrier, "has exited"},
        Case{Mistake::kBarrierInBranches, Fault::kDivergentBarrier, "faulty_kernels.cu:"},
        Case{Mistake::kBarrierAgainstWarp, Fault::kDivergentWarp, "lane 5 waits for __syncthreads"},
        Case{Mistake::kMaskOfExited, Fault::kMissingLane, "lane 3 has exited"},
        Case{Mistake::kMaskOfNobody, Fault::kMissingLane, "lane 16 does not exist"},
        Case{Mistake::kShuffleInBranches, Fault::kDivergentWarp, "mask 0xffffffff"},
        Case{Mistake::kVoteAgainstShuffle, Fault::kDivergentWarp, "a vote"},
        Case{Mistake::kCallerNotInMask, Fault::kLaneNotInMask, "lane 3"},
        Case{Mistake::kShuffleFromOutside, Fault::kShuffleSource, "reads lane 1"},
        Case{Mistake::kWidth, Fault::kBadArgument, "width is 12"},
        Case{Mistake::kGridBarrierAlone, Fault::kUnsupported, "not cooperative"},
        Case{Mistake::kSpin, Fault::kNoProgress, "does not come"}));

TEST(Faults, NameTheThread) {
  const emulator::Error error = error_of(Mistake::kCallerNotInMask);
  EXPECT_EQ(error.place().block.x, 0U);
  EXPECT_EQ(error.place().thread.x, 3U);
  expect_text(error, "block (0, 0, 0), thread (3, 0, 0)");
}

#if defined(EMULATOR_ASAN)

TEST(FaultsDeathTest, SharedMemoryIsBounded) {
  std::vector<float> out(64);
  EXPECT_DEATH(faulty::run(Mistake::kSharedAfter, out.data()), "use-after-poison");
  EXPECT_DEATH(faulty::run(Mistake::kSharedBefore, out.data()), "use-after-poison");
}

TEST(FaultsDeathTest, DeviceMemoryIsBounded) {
  float* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 32 * sizeof(float)), cudaSuccess);
  EXPECT_DEATH(faulty::writes_33(memory), "heap-buffer-overflow");
  cudaFree(memory);
}

#else

TEST(Faults, SharedMemoryIsBounded) {
  const emulator::Error after = error_of(Mistake::kSharedAfter);
  EXPECT_EQ(after.fault(), Fault::kSharedOutOfBounds);
  EXPECT_EQ(after.place().thread.x, 63U);
  const emulator::Error before = error_of(Mistake::kSharedBefore);
  EXPECT_EQ(before.fault(), Fault::kSharedOutOfBounds);
  EXPECT_EQ(before.place().thread.x, 0U);
}

#endif

// What the orders are for: such kernels give results, but not the same.
TEST(Orders, ShowForgottenBarriers) {
  std::vector<std::vector<float>> results;
  for (const Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    results.emplace_back(64);
    faulty::forgets_barrier(results.back().data());
  }
  EXPECT_NE(results[0], results[1]);
  EXPECT_NE(results[1], results[2]);
}

TEST(Orders, ShowUnwrittenSharedMemory) {
  std::vector<float> out(32);
  faulty::forgets_to_write(out.data());
  EXPECT_EQ(out[0], 0.0F);  // the minimum with a NaN hides it
  const emulator::ScopedOrder scope(Order::kReversed);
  faulty::forgets_to_write(out.data());
  EXPECT_LT(out[0], -1e29F);
}

TEST(Orders, ShowDependenceOnBlocks) {
  const auto total = [](Order order) {
    const emulator::ScopedOrder scope(order);
    unsigned state[2] = {0, 0};
    faulty::depends_on_block_order(state);
    EXPECT_EQ(state[1], 5U);
    return state[0];
  };
  EXPECT_EQ(total(Order::kForward), 58U);    // 0 1 2 3 4 in base 3
  EXPECT_EQ(total(Order::kReversed), 426U);  // 4 3 2 1 0
  EXPECT_NE(total(Order::kShuffled), 58U);
}

TEST(Orders, SeedsDifferAndRepeat) {
  const auto total = [](std::uint64_t seed) {
    const emulator::ScopedOrder scope(Order::kShuffled, seed);
    unsigned state[2] = {0, 0};
    faulty::depends_on_block_order(state);
    return state[0];
  };
  EXPECT_EQ(total(3), total(3));
  EXPECT_TRUE(total(3) != total(4) || total(4) != total(5));
}

TEST(Faults, GridBarrierThatSomeBlocksSkip) {
  const emulator::Error error = error_of([] { faulty::grid_barrier_of_one(3); });
  EXPECT_EQ(error.fault(), Fault::kDivergentBarrier);
  expect_text(error, "1 blocks wait for the grid's barrier, 2 have ended");
}

TEST(Faults, LaunchConfigurations) {
  const auto fault = [](unsigned grid_x, unsigned grid_y, unsigned block_x, unsigned block_z) {
    return error_of([&] { faulty::empty(grid_x, grid_y, block_x, block_z); }).fault();
  };
  EXPECT_EQ(fault(1, 1, 1025, 1), Fault::kLaunchConfiguration);
  EXPECT_EQ(fault(1, 1, 1, 65), Fault::kLaunchConfiguration);
  EXPECT_EQ(fault(1, 1, 512, 4), Fault::kLaunchConfiguration);
  EXPECT_EQ(fault(1, 1, 0, 1), Fault::kLaunchConfiguration);
  EXPECT_EQ(fault(0, 1, 32, 1), Fault::kLaunchConfiguration);
  EXPECT_EQ(fault(1, 65536, 32, 1), Fault::kLaunchConfiguration);
  EXPECT_NO_THROW(faulty::empty(3, 2, 512, 2));
  // 4 multiprocessors of 32 blocks each.
  EXPECT_EQ(error_of([] { faulty::grid_barrier_of_one(129); }).fault(),
            Fault::kLaunchConfiguration);
}

TEST(Faults, SharedMemoryNeedsLeave) {
  unsigned char last = 0;
  sample::use_shared(48 << 10, false, &last);
  EXPECT_EQ(last, 0xFF);
  const auto too_much = [&](int bytes, bool raise) {
    return error_of([&] { sample::use_shared(bytes, raise, &last); }).fault();
  };
  EXPECT_EQ(too_much((48 << 10) + 16, false), Fault::kLaunchConfiguration);
  sample::use_shared(227 << 10, true, &last);
  EXPECT_EQ(too_much((227 << 10) + 16, true), Fault::kLaunchConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
}

int objects = 0;

struct Counted {
  Counted() { ++objects; }
  ~Counted() { --objects; }
};

__global__ void throws_in_thread(unsigned guilty) {
  const Counted counted;
  const std::vector<unsigned> memory(100, threadIdx.x);  // LeakSanitizer sees what is not unwound
  if (threadIdx.x == guilty) throw std::runtime_error("thread " + std::to_string(memory[99]));
  __syncthreads();
}

TEST(Faults, ThreadsUnwind) {
  for (const Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    try {
      MRF_LAUNCH(throws_in_thread, 2, 96, 0, nullptr, 40U);
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "thread 40");
    }
    EXPECT_EQ(objects, 0);
  }
}

__global__ void launches() { faulty::empty(1, 1, 32, 1); }

TEST(Faults, WhatBelongsToTheOtherSide) {
  EXPECT_EQ(error_of([] { MRF_LAUNCH(launches, 1, 1, 0, nullptr); }).fault(), Fault::kUnsupported);
  EXPECT_EQ(error_of([] { __syncthreads(); }).fault(), Fault::kUnsupported);
  EXPECT_EQ(error_of([] { (void)emulator::shared_memory<float>(); }).fault(), Fault::kUnsupported);
}

}  // namespace
