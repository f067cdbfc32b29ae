// SPDX-License-Identifier: Apache-2.0
// CUDA's filter flow in the emulator against the CPU's: the same bits, whatever the order of
// threads, but for the rounding of a softmax.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "emulator/emulator.hpp"
#include "filter_flow_kernels.hpp"
#include "mrfcore/filter_flow.hpp"

namespace mrfcore::test {
namespace {

struct FlowCase {
  int64_t batch, channels, height, width, side;
  bool softmax;
  FlowPadding padding;
  bool flow = true;

  std::string text() const {
    return std::to_string(batch) + "x" + std::to_string(channels) + "x" + std::to_string(height) +
           "x" + std::to_string(width) + ", k = " + std::to_string(side) +
           (softmax ? ", softmax, padding " : ", padding ") +
           std::to_string(static_cast<int>(padding));
  }
};

constexpr auto kZeros = FlowPadding::Zeros, kReplicate = FlowPadding::Replicate,
               kReflect = FlowPadding::Reflect;

/// Sides odd and even, one and two blocks of taps; ragged and tiny images; all shapes of kernels,
/// channels of one and of several blocks, none.
const std::vector<FlowCase> kCases = {{2, 3, 9, 37, 3, false, kZeros},
                                      {1, 1, 1, 1, 2, false, kReplicate},
                                      {1, 5, 11, 34, 4, true, kReplicate},
                                      {2, 1, 7, 33, 5, true, kReflect},
                                      {1, 2, 18, 40, 17, false, kReflect},
                                      {1, 9, 5, 31, 7, false, kReplicate, false},
                                      {1, 25, 10, 33, 3, true, kZeros},
                                      {1, 8, 17, 65, 2, true, kReflect, false},
                                      {1, 0, 4, 35, 3, true, kZeros},
                                      {1, 3, 6, 20, 31, true, kReplicate},
                                      {1, 4, 20, 1, 5, true, kZeros},
                                      {2, 7, 1, 40, 1, true, kReflect},
                                      {1, 2, 16, 17, 31, false, kReflect, false}};

/// k = 31 and more channels than a block has in shared memory (doubles: 15).
constexpr FlowCase kParts = {1, 40, 3, 9, 31, true, kReplicate, false};

template <class T>
std::vector<T> numbers(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> distribution(-2, 2);
  std::vector<T> v(static_cast<size_t>(count));
  for (T& x : v) x = static_cast<T>(distribution(generator));
  return v;
}

/// Random filters as they are stored; half types by their upper bytes, subnormals and all.
std::vector<unsigned char> stored(FilterType type, int64_t count) {
  std::vector<unsigned char> bytes;
  const auto put = [&](const auto& values) {
    bytes.resize(values.size() * sizeof(values[0]));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  };
  if (type == FilterType::Float64) {
    put(numbers<double>(count, 2));
  } else if (type == FilterType::Float32) {
    put(numbers<float>(count, 2));
  } else {
    std::mt19937 generator(2);
    std::vector<uint16_t> halves(static_cast<size_t>(count));
    // Magnitudes below 2; those of float16 with exponents down to subnormal numbers.
    for (uint16_t& h : halves) h = static_cast<uint16_t>(generator() & 0xbfffU);
    put(halves);
  }
  return bytes;
}

/// Results of one of the two, poisoned before.
template <class T>
struct Results {
  std::vector<T> out, flow, peak, scale, spread, landing;
  std::vector<unsigned char> grads;
};

template <class T>
struct Flow {
  FlowCase c;
  FilterType type;
  int64_t pixels = c.batch * c.height * c.width;
  std::vector<T> image = numbers<T>(pixels * c.channels, 1);
  std::vector<T> grad_out = numbers<T>(pixels * c.channels, 3);
  std::vector<T> grad_flow = numbers<T>(2 * pixels, 4);
  std::vector<unsigned char> filters = stored(type, pixels* c.side* c.side);

  FilterFlowProblem problem() const {
    FilterFlowProblem p;
    p.batch = c.batch;
    p.channels = c.channels;
    p.height = c.height;
    p.width = c.width;
    p.side = c.side;
    p.filters = filters.data();
    p.type = type;
    p.softmax = c.softmax;
    p.padding = c.padding;
    p.threads = 1;
    return p;
  }
  Results<T> empty() const {
    const std::vector<T> plane(static_cast<size_t>(pixels), T(7));
    const std::vector<T> images(image.size(), T(7));
    const auto landing = static_cast<size_t>(cuda::kernels::landing_elements(problem()));
    return {images,
            std::vector<T>(grad_flow.size(), T(7)),
            plane,
            plane,
            images,
            std::vector<T>(landing, T(7)),
            std::vector<unsigned char>(filters.size(), 7)};
  }
  FilterFlowGradients<T> gradients(const Results<T>& r) const {
    return {r.out.data(), grad_out.data(), r.flow.data(), c.flow ? grad_flow.data() : nullptr};
  }

  Results<T> of_cpu() const {
    Results<T> r = empty();
    const FilterFlowProblem p = problem();
    filter_flow<T>(p, image.data(), r.out.data(), c.flow ? r.flow.data() : nullptr,
                   {r.peak.data(), r.scale.data()});
    filter_flow_transpose<T>(p, image.data(), {r.peak.data(), r.scale.data()}, r.spread.data());
    filter_flow_filter_gradient<T>(p, image.data(), {r.peak.data(), r.scale.data()}, gradients(r),
                                   r.grads.data());
    return r;
  }
  /// The way back begins with the CPU's results, so that differences do not add up.
  Results<T> of_device(const Results<T>& cpu) const {
    namespace k = cuda::kernels;
    Results<T> r = empty();
    const FilterFlowProblem p = problem();
    T* flow = c.flow ? r.flow.data() : nullptr;
    const SoftmaxStatistics<const T> statistics{cpu.peak.data(), cpu.scale.data()};
    EXPECT_EQ(k::filter_flow<T>(p, image.data(), r.out.data(), flow,
                                {r.peak.data(), r.scale.data()}, nullptr),
              0);
    EXPECT_EQ(k::filter_flow_transpose<T>(p, image.data(), statistics, r.spread.data(),
                                          r.landing.data(), nullptr),
              0);
    EXPECT_EQ(k::filter_flow_filter_gradient<T>(p, image.data(), statistics, gradients(cpu),
                                                r.grads.data(), nullptr),
              0);
    return r;
  }
};

template <class T>
void expect_same(const std::vector<T>& found, const std::vector<T>& expected, const char* what) {
  ASSERT_EQ(found.size(), expected.size());
  if (found.empty()) return;
  EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(T)), 0) << what;
}

template <class T>
void expect_close(const std::vector<T>& found, const std::vector<T>& expected, const char* what) {
  ASSERT_EQ(found.size(), expected.size());
  const T tolerance = 64 * std::numeric_limits<T>::epsilon();
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], expected[i], tolerance * (1 + std::abs(expected[i]))) << what << ' ' << i;
  }
}

template <class T>
void compare(const FlowCase& c, FilterType type) {
  SCOPED_TRACE(c.text() + ", type " + std::to_string(static_cast<int>(type)));
  const Flow<T> flow{c, type};
  const Results<T> expected = flow.of_cpu();
  const Results<T> found = flow.of_device(expected);
  // The CPU looks for the highest of several rows of taps at a time.
  const auto expect = c.softmax ? expect_close<T> : expect_same<T>;
  expect(found.out, expected.out, "out");
  expect(found.flow, expected.flow, "flow");
  expect_same(found.peak, expected.peak, "peak");
  expect_close(found.scale, expected.scale, "scale");
  expect_same(found.spread, expected.spread, "transposed");
  expect_same(found.grads, expected.grads, "gradient of filters");
}

void compare_all(const FlowCase& c) {
  compare<float>(c, FilterType::Float32);
  compare<double>(c, FilterType::Float64);
  compare<float>(c, FilterType::BFloat16);
  compare<float>(c, FilterType::Float16);
}

TEST(FilterFlowKernels, TheCpusResults) {
  for (const FlowCase& c : kCases) compare_all(c);
}

TEST(FilterFlowKernels, MoreChannelsThanSharedMemoryHolds) {
  compare<float>(kParts, FilterType::Float32);
  compare<double>(kParts, FilterType::Float64);
}

TEST(FilterFlowKernels, AnyOrderOfThreads) {
  for (const FlowCase& c : {kCases[0], kCases[2], kCases[6]}) {
    const Flow<float> flow{c, FilterType::Float32};
    const Results<float> cpu = flow.of_cpu(), expected = flow.of_device(cpu);
    for (const auto order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
      const emulator::ScopedOrder scope(order);
      const Results<float> found = flow.of_device(cpu);
      expect_same(found.out, expected.out, "out");
      expect_same(found.flow, expected.flow, "flow");
      expect_same(found.spread, expected.spread, "transposed");
      expect_same(found.grads, expected.grads, "gradient of filters");
    }
  }
}

TEST(FilterFlowKernels, MissingAndForbiddenFilters) {
  for (const bool softmax : {false, true}) {
    Flow<float> flow{{1, 3, 6, 35, 3, softmax, kReplicate}, FilterType::Float32};
    auto* filters = reinterpret_cast<float*>(flow.filters.data());
    filters[40] = std::numeric_limits<float>::quiet_NaN();
    const float low = -std::numeric_limits<float>::infinity();
    for (int64_t p = 0; p < 9; ++p) filters[p * flow.pixels + 50] = low;  // all of a pixel
    for (int64_t p = 1; p < 9; ++p) filters[p * flow.pixels + 60] = softmax ? low : 0.0F;
    const Results<float> expected = flow.of_cpu(), found = flow.of_device(expected);
    for (size_t i = 0; i < found.out.size(); ++i) {
      EXPECT_EQ(std::isnan(found.out[i]), std::isnan(expected.out[i])) << i;
      EXPECT_EQ(std::isnan(found.spread[i]), std::isnan(expected.spread[i])) << i;
      if (!std::isfinite(expected.out[i])) continue;
      EXPECT_NEAR(found.out[i], expected.out[i], 1e-5F) << i;
    }
    expect_same(found.peak, expected.peak, "peak");
  }
}

TEST(FilterFlowKernels, SidesBeyondTheirPositionsAreRefused) {
  FilterFlowProblem p = Flow<float>{kCases[0], FilterType::Float32}.problem();
  p.width = int64_t{1} << 31;
  EXPECT_NE(cuda::kernels::filter_flow<float>(p, nullptr, nullptr, nullptr, {}, nullptr), 0);
}

}  // namespace
}  // namespace mrfcore::test
