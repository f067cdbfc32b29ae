// SPDX-License-Identifier: Apache-2.0
// Kernels of superpixels in the emulator, against the CPU's functions: unpooling and maxima to the
// bit, sums within rounding and with the same bits in every order of threads. Memory is of exact
// size between walls that must not change.
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

constexpr emulator::Order kOrders[] = {emulator::Order::kForward, emulator::Order::kReversed,
                                       emulator::Order::kShuffled};

/// Device memory of `size` values with a wall on either side.
template <class T>
class Walled {
 public:
  explicit Walled(int64_t size) : size_(size) {
    cudaMalloc(&data_, static_cast<size_t>(size + 2 * kWall) * sizeof(T));
    for (int64_t i = 0; i < kWall; ++i) data_[i] = data_[size + kWall + i] = kMark;
  }
  Walled(const Walled&) = delete;
  Walled& operator=(const Walled&) = delete;
  ~Walled() {
    for (int64_t i = 0; i < kWall; ++i) {
      EXPECT_EQ(data_[i], kMark) << "written before the beginning";
      EXPECT_EQ(data_[size_ + kWall + i], kMark) << "written beyond the end";
    }
    cudaFree(data_);
  }
  T* data() { return data_ + kWall; }
  std::vector<T> values() { return {data(), data() + size_}; }

 private:
  static constexpr int64_t kWall = 64;
  static constexpr T kMark = T(77);
  int64_t size_;
  T* data_ = nullptr;
};

enum class Kind { Blocks, Noise, One, Unique };

/// ids [batch, height, width], another map for each image.
template <class Id>
std::vector<Id> ids_of(Kind kind, int64_t batch, int64_t height, int64_t width, int64_t num) {
  std::vector<Id> ids;
  Random random(5);
  const auto noise = random.array<int32_t>(batch * height * width, static_cast<double>(num), 1.0);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < height * width; ++i) {
      const int64_t y = i / width + b, x = i % width + (i / width + 2 * b) % 3;
      int64_t id = 0;
      if (kind == Kind::Blocks) id = (y / 9 * 11 + x / 9) % num;
      if (kind == Kind::Noise) id = noise[static_cast<size_t>(b * height * width + i)] % num;
      if (kind == Kind::Unique) id = (i * 7 + b) % num;
      ids.push_back(static_cast<Id>(id));
    }
  }
  return ids;
}

/// Numbers of both signs with many ties, which maxima must break.
template <class T>
std::vector<T> numbers(int64_t size, uint32_t seed) {
  std::vector<T> values = Random(seed).array<T>(size, 8.0, 0.5);
  for (T& value : values) value -= T(4);
  return values;
}

struct Case {
  Kind kind;
  int64_t channels, height, width, num;
};

const std::vector<Case> kCases = {
    {Kind::One, 1, 1, 1, 1},        {Kind::Blocks, 3, 1, 70, 5},   {Kind::Blocks, 2, 70, 1, 200},
    {Kind::Blocks, 21, 30, 47, 50}, {Kind::Noise, 5, 17, 65, 300}, {Kind::Unique, 4, 20, 20, 400},
    {Kind::One, 3, 71, 90, 1},      {Kind::Noise, 2, 64, 96, 3},   {Kind::Blocks, 64, 12, 33, 7},
};

template <class T, class Id>
struct Inputs {
  Case c;
  std::vector<Id> ids;
  std::vector<T> x, z;
  SuperpixelMap map;

  explicit Inputs(const Case& size)
      : c(size),
        ids(ids_of<Id>(c.kind, 2, c.height, c.width, c.num)),
        x(numbers<T>(2 * c.channels * pixels(), 1)),
        z(numbers<T>(2 * c.channels * c.num, 2)),
        map{.ids = ids.data(),
            .type = sizeof(Id) == 4 ? IdType::Int32 : IdType::Int64,
            .batch = 2,
            .height = c.height,
            .width = c.width,
            .num = c.num} {}
  Inputs(const Inputs&) = delete;  // the map points into it
  Inputs& operator=(const Inputs&) = delete;
  int64_t pixels() const { return c.height * c.width; }
  Walled<unsigned char> scratch(bool empty_too, const SuperpixelMap& of) const {
    return Walled<unsigned char>(
        kernels::SuperpixelScratch(of, c.channels, sizeof(T), empty_too).total);
  }
};

template <class T>
double tolerance() {
  return sizeof(T) == 4 ? 2e-3 : 1e-10;  // absolute: sums of 6000 numbers below 4
}

template <class T>
void expect_near(const std::vector<T>& found, const std::vector<T>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], tolerance<T>()) << i;
}

/// What f writes to memory of its own.
template <class T, class F>
std::vector<T> run(int64_t size, const F& f) {
  Walled<T> out(size);
  EXPECT_EQ(f(out.data()), 0);
  return out.values();
}

/// The same in all orders.
template <class T, class F>
std::vector<T> in_all_orders(int64_t size, const F& f) {
  const std::vector<T> first = run<T>(size, f);
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order);
    EXPECT_EQ(run<T>(size, f), first) << "depends on the order of threads";
  }
  return first;
}

template <class T, class Id>
void check_pool(const Inputs<T, Id>& in) {
  for (const SuperpixelReduce reduce : {SuperpixelReduce::Mean, SuperpixelReduce::Sum}) {
    const emulator::ScopedOrder scope(kOrders[reduce == SuperpixelReduce::Mean ? 1 : 2]);
    const auto found = run<T>(2 * in.c.channels * in.c.num, [&](T* z) {
      auto scratch = in.scratch(true, in.map);
      return kernels::superpixel_pool<T>(in.map, in.c.channels, in.x.data(), reduce, z, nullptr,
                                         scratch.data(), nullptr);
    });
    std::vector<T> expected(found.size());
    superpixel_pool<T>(in.map, in.c.channels, in.x.data(), reduce, 1, expected.data());
    expect_near(found, expected);
  }
}

template <class T, class Id>
void check_maximum(const Inputs<T, Id>& in) {
  const auto size = static_cast<size_t>(2 * in.c.channels * in.c.num);
  std::vector<T> x = in.x, expected(size);
  for (size_t i = 0; i < x.size(); i += 97) x[i] = std::nan("");
  std::vector<int64_t> expected_winners(size);
  superpixel_pool<T>(in.map, in.c.channels, x.data(), SuperpixelReduce::Max, 1, expected.data(),
                     expected_winners.data());
  for (const emulator::Order order : kOrders) {
    const emulator::ScopedOrder scope(order);
    Walled<T> z(static_cast<int64_t>(size));
    Walled<int64_t> winners(static_cast<int64_t>(size));
    auto scratch = in.scratch(true, in.map);
    ASSERT_EQ(kernels::superpixel_pool<T>(in.map, in.c.channels, x.data(), SuperpixelReduce::Max,
                                          z.data(), winners.data(), scratch.data(), nullptr),
              0);
    ASSERT_EQ(winners.values(), expected_winners);
    for (size_t i = 0; i < size; ++i) {
      ASSERT_TRUE(z.data()[i] == expected[i] ||
                  (std::isnan(z.data()[i]) && std::isnan(expected[i])));
    }
  }
}

template <class T, class Id>
void check_unpool(const Inputs<T, Id>& in) {
  for (const bool divide : {false, true}) {
    const auto found = in_all_orders<T>(2 * in.c.channels * in.pixels(), [&](T* out) {
      Walled<unsigned char> scratch(kernels::superpixel_unpool_bytes(in.map, divide));
      return kernels::superpixel_unpool<T>(in.map, in.c.channels, in.z.data(), divide, out,
                                           scratch.data(), nullptr);
    });
    std::vector<T> expected(found.size());
    superpixel_unpool<T>(in.map, in.c.channels, in.z.data(), divide, 1, expected.data());
    EXPECT_EQ(found, expected);
  }
}

template <class T, class Id>
void check_consistency(const Inputs<T, Id>& in) {
  std::vector<uint8_t> valid = Random(3).array<uint8_t>(2 * in.pixels(), 3.0, 1.0);
  for (size_t i = 0; i < valid.size(); ++i) {
    if (in.ids[i] % 4 == 0) valid[i] = 0;
  }
  SuperpixelMap most = in.map;
  most.num = in.c.num + 300;
  SuperpixelMap unknown = in.map;
  unknown.num = 0;
  for (int how = 0; how < 8; ++how) {
    ConsistencyOptions options;
    options.valid = how % 2 == 0 ? nullptr : valid.data();
    options.empty = how / 2 % 2 == 0 ? NoValidPixel::Keep : NoValidPixel::Zero;
    options.adjoint = how / 4 == 1;
    const emulator::ScopedOrder scope(kOrders[how % 3]);
    const auto found = run<T>(2 * in.c.channels * in.pixels(), [&](T* out) {
      auto scratch = in.scratch(false, most);
      return kernels::superpixel_consistency<T>(most, in.c.channels, in.x.data(), options, out,
                                                scratch.data(), nullptr);
    });
    std::vector<T> expected(found.size());
    superpixel_consistency<T>(unknown, in.c.channels, in.x.data(), options, expected.data());
    expect_near(found, expected);
  }
}

template <class T>
class CudaSuperpixel : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaSuperpixel, Reals);

TYPED_TEST(CudaSuperpixel, AsTheCpu) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::to_string(c.channels) + "x" + std::to_string(c.height) + "x" +
                 std::to_string(c.width) + ", num " + std::to_string(c.num));
    const Inputs<TypeParam, int64_t> wide(c);
    check_pool(wide);
    check_maximum(wide);
    check_unpool(wide);
    check_consistency(wide);
    const Inputs<TypeParam, int32_t> narrow(c);
    check_unpool(narrow);
  }
}

/// Whether superpixels run into a second piece and a second round of pieces or not: the same bits.
TYPED_TEST(CudaSuperpixel, LargeSuperpixelsHaveOneOrder) {
  const Inputs<TypeParam, int64_t> in({Kind::One, 5, 260, 260, 1});
  const auto map = in.map;
  const auto found = in_all_orders<TypeParam>(2 * 5 * in.pixels(), [&](TypeParam* out) {
    auto scratch = in.scratch(false, map);
    return kernels::superpixel_consistency<TypeParam>(map, 5, in.x.data(), {}, out, scratch.data(),
                                                      nullptr);
  });
  std::vector<TypeParam> expected(found.size());
  superpixel_consistency<TypeParam>(map, 5, in.x.data(), {}, expected.data());
  expect_near(found, expected);
}

/// Pixels of ids outside count for nothing and become 0; the others do not see them.
TYPED_TEST(CudaSuperpixel, IdsOutside) {
  using T = TypeParam;
  constexpr int64_t kChannels = 5, kNum = 20;
  Inputs<T, int64_t> in({Kind::Blocks, kChannels, 30, 47, kNum});
  // The same for the CPU: outside is superpixel 20, of zeros.
  Inputs<T, int64_t> clean({Kind::Blocks, kChannels, 30, 47, kNum + 1});
  for (size_t i = 0; i < in.ids.size(); ++i) {
    if (i % 5 == 0) in.ids[i] = i % 2 == 0 ? -1 - static_cast<int64_t>(i) : int64_t{1} << 40;
    if (i % 13 == 0) in.ids[i] = kNum;
    clean.ids[i] = in.ids[i] < 0 || in.ids[i] >= kNum ? kNum : in.ids[i];
  }
  const auto pixels = static_cast<size_t>(in.pixels());
  for (size_t i = 0; i < in.x.size(); ++i) {
    const size_t at = i / (kChannels * pixels) * pixels + i % pixels;
    clean.x[i] = clean.ids[at] == kNum ? T(0) : in.x[i];
  }
  for (size_t i = 0; i < clean.z.size(); ++i)
    clean.z[i] = i % (kNum + 1) == kNum ? T(0) : in.z[i / (kNum + 1) * kNum + i % (kNum + 1)];

  std::vector<T> pooled(2 * kChannels * (kNum + 1)), expected;
  superpixel_pool<T>(clean.map, kChannels, in.x.data(), SuperpixelReduce::Mean, 1, pooled.data());
  for (size_t i = 0; i < pooled.size(); ++i) {
    if (i % (kNum + 1) != kNum) expected.push_back(pooled[i]);
  }
  expect_near(in_all_orders<T>(2 * kChannels * kNum,
                               [&](T* z) {
                                 auto scratch = in.scratch(true, in.map);
                                 return kernels::superpixel_pool<T>(
                                     in.map, kChannels, in.x.data(), SuperpixelReduce::Mean, z,
                                     nullptr, scratch.data(), nullptr);
                               }),
              expected);
  expected.resize(in.x.size());
  for (const bool divide : {false, true}) {
    superpixel_unpool<T>(clean.map, kChannels, clean.z.data(), divide, 1, expected.data());
    EXPECT_EQ(in_all_orders<T>(
                  2 * kChannels * in.pixels(),
                  [&](T* out) {
                    Walled<unsigned char> scratch(kernels::superpixel_unpool_bytes(in.map, divide));
                    return kernels::superpixel_unpool<T>(in.map, kChannels, in.z.data(), divide,
                                                         out, scratch.data(), nullptr);
                  }),
              expected);
  }
  superpixel_consistency<T>(clean.map, kChannels, clean.x.data(), {}, expected.data());
  expect_near(in_all_orders<T>(2 * kChannels * in.pixels(),
                               [&](T* out) {
                                 auto scratch = in.scratch(false, in.map);
                                 return kernels::superpixel_consistency<T>(in.map, kChannels,
                                                                           in.x.data(), {}, out,
                                                                           scratch.data(), nullptr);
                               }),
              expected);
}

}  // namespace
}  // namespace mrfcore::test
