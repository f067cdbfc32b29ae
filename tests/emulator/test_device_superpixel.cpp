// SPDX-License-Identifier: Apache-2.0
// mrfcore/cuda_superpixel.hpp through the emulated library, as a program would use a GPU: against
// the CPU's functions, in parts of a batch, and what is refused. (tests/python does the rest.)
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "mrfcore/cuda_superpixel.hpp"

namespace mrfcore::test {
namespace {

constexpr int64_t kItems = 3, kHeight = 11, kWidth = 37, kChannels = 5, kNum = 9, kCell = 6;
constexpr int64_t kPixels = kHeight * kWidth, kValues = kItems * kChannels * kPixels;
constexpr int64_t kCells = ((kHeight + kCell - 1) / kCell) * ((kWidth + kCell - 1) / kCell);

/// Before anything looks for the library of kernels.
const bool kNamed = setenv("MRFCORE_CUDA_LIBRARY", MRF_EMULATED_LIBRARY, 1) == 0;

/// Another map for each image.
struct Inputs {
  std::vector<int32_t> ids = Random(1).array<int32_t>(kItems * kPixels, kNum, 1.0);
  std::vector<uint8_t> valid = Random(2).array<uint8_t>(kItems * kPixels, 2.0, 1.0);
  // Whole numbers: sums are exact in any order.
  std::vector<float> x = Random(3).array<float>(kValues, 9.0, 1.0),
                     q = Random(4).array<float>(kItems * 9 * kPixels, 3.0, 1.0),
                     z = Random(5).array<float>(kItems * kChannels * kNum, 9.0, 1.0),
                     cells = Random(6).array<float>(kItems * kChannels * kCells, 9.0, 1.0);

  SuperpixelMap map() const {
    return {.ids = ids.data(),
            .type = IdType::Int32,
            .batch = kItems,
            .height = kHeight,
            .width = kWidth,
            .num = kNum};
  }
  static SoftSuperpixels grid() {
    return {.batch = kItems,
            .channels = kChannels,
            .height = kHeight,
            .width = kWidth,
            .cell = kCell,
            .threads = 1};
  }
};

/// A queue and its memory.
struct Work {
  std::vector<std::byte> memory;
  explicit Work(int64_t bytes) : memory(static_cast<size_t>(bytes)) {}
  cuda::Queue queue() { return {0, nullptr, memory.data(), static_cast<int64_t>(memory.size())}; }
};

void expect_refused(const std::string& name, const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << name << " was not refused";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
  }
}

TEST(DeviceSuperpixel, PoolingInPartsOfTheBatch) {
  ASSERT_TRUE(kNamed);
  const Inputs in;
  for (const auto reduce : {SuperpixelReduce::Mean, SuperpixelReduce::Sum, SuperpixelReduce::Max}) {
    std::vector<float> expected(in.z.size()), found(in.z.size());
    std::vector<int64_t> expected_winners(in.z.size(), -5), winners(expected_winners);
    superpixel_pool(in.map(), kChannels, in.x.data(), reduce, 1, expected.data(),
                    reduce == SuperpixelReduce::Max ? expected_winners.data() : nullptr);
    for (const int64_t items : {kItems, int64_t{2}, int64_t{1}}) {
      Work work(cuda::superpixel_pool_workspace_bytes<float>(in.map(), kChannels, items));
      cuda::superpixel_pool(in.map(), kChannels, in.x.data(), reduce, found.data(),
                            reduce == SuperpixelReduce::Max ? winners.data() : nullptr,
                            work.queue());
      EXPECT_EQ(found, expected) << items;
      EXPECT_EQ(winners, expected_winners) << items;
    }
  }
  Work small(cuda::superpixel_pool_workspace_bytes<float>(in.map(), kChannels, 1) - 1);
  std::vector<float> out(in.z.size());
  EXPECT_THROW(cuda::superpixel_pool(in.map(), kChannels, in.x.data(), SuperpixelReduce::Sum,
                                     out.data(), nullptr, small.queue()),
               OutOfMemory);
}

TEST(DeviceSuperpixel, UnpoolingAndConsistencyInPartsOfTheBatch) {
  const Inputs in;
  std::vector<float> expected(kValues), found(kValues);
  for (const int64_t items : {kItems, int64_t{2}, int64_t{1}}) {
    for (const bool divide : {false, true}) {
      superpixel_unpool(in.map(), kChannels, in.z.data(), divide, 1, expected.data());
      Work work(cuda::superpixel_unpool_workspace_bytes(in.map(), divide, items));
      cuda::superpixel_unpool(in.map(), kChannels, in.z.data(), divide, found.data(), work.queue());
      EXPECT_EQ(found, expected) << items;
    }
    for (const bool adjoint : {false, true}) {
      const ConsistencyOptions options{
          .valid = in.valid.data(), .empty = NoValidPixel::Zero, .adjoint = adjoint, .threads = 1};
      superpixel_consistency(in.map(), kChannels, in.x.data(), options, expected.data());
      Work work(cuda::superpixel_consistency_workspace_bytes<float>(in.map(), kChannels, items));
      cuda::superpixel_consistency(in.map(), kChannels, in.x.data(), options, found.data(),
                                   work.queue());
      EXPECT_EQ(found, expected) << items;
    }
  }
}

TEST(DeviceSuperpixel, SoftOnesInPartsOfTheBatch) {
  const Inputs in;
  const SoftSuperpixels grid = Inputs::grid();
  std::vector<float> pooled(in.cells.size()), unpooled(kValues), product(in.q.size());
  soft_superpixel_pool(grid, in.q.data(), in.x.data(), pooled.data());
  soft_superpixel_unpool(grid, in.q.data(), in.cells.data(), unpooled.data());
  soft_superpixel_product(grid, in.x.data(), in.cells.data(), product.data());
  for (const int64_t items : {kItems, int64_t{1}}) {
    Work work(cuda::soft_superpixel_pool_workspace_bytes<float>(grid, items));
    std::vector<float> found(pooled.size());
    cuda::soft_superpixel_pool(grid, in.q.data(), in.x.data(), found.data(), work.queue());
    EXPECT_EQ(found, pooled);
  }
  std::vector<float> found(kValues);
  cuda::soft_superpixel_unpool(grid, in.q.data(), in.cells.data(), found.data(), {});
  EXPECT_EQ(found, unpooled);
  found.resize(product.size());
  cuda::soft_superpixel_product(grid, in.x.data(), in.cells.data(), found.data(), {});
  EXPECT_EQ(found, product);
}

TEST(DeviceSuperpixel, BadArgumentsAreNamed) {
  const Inputs in;
  std::vector<float> out(kValues);
  const auto pool = [&](const std::function<void(SuperpixelMap&)>& change,
                        int64_t channels = kChannels) {
    return [&, change, channels] {
      SuperpixelMap map = in.map();
      change(map);
      cuda::superpixel_pool(map, channels, in.x.data(), SuperpixelReduce::Sum, out.data(), nullptr,
                            {});
    };
  };
  using M = SuperpixelMap;
  expect_refused("ids", pool([](M& m) { m.ids = nullptr; }));
  expect_refused("ids", pool([](M& m) { m.height = 0; }));
  expect_refused("num", pool([](M& m) { m.num = 0; }));
  expect_refused("num", pool([](M& m) { m.num = std::numeric_limits<int64_t>::max(); }));
  expect_refused("channels", pool([](M&) {}, 0));
  const float* nothing = nullptr;
  expect_refused("x", [&] {
    cuda::superpixel_pool(in.map(), 1, nothing, SuperpixelReduce::Sum, out.data(), nullptr, {});
  });
  expect_refused("z",
                 [&] { cuda::superpixel_unpool(in.map(), 1, nothing, false, out.data(), {}); });
  expect_refused("out", [&] {
    cuda::superpixel_consistency<float>(in.map(), 1, in.x.data(), {}, nullptr, {});
  });
  expect_refused("items", [&] {
    static_cast<void>(cuda::superpixel_pool_workspace_bytes<float>(in.map(), 1, 0));
  });
  expect_refused("q", [&] {
    cuda::soft_superpixel_pool(Inputs::grid(), nothing, in.x.data(), out.data(), {});
  });
  expect_refused("cell", [&] {
    SoftSuperpixels grid = Inputs::grid();
    grid.cell = 0;
    cuda::soft_superpixel_unpool(grid, in.q.data(), in.cells.data(), out.data(), {});
  });
}

}  // namespace
}  // namespace mrfcore::test
