// SPDX-License-Identifier: Apache-2.0
// Mode-seeking mean shift against plain loops over all points.
#include "mrfcore/mode_seek.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

constexpr int64_t kPoints = 200;

std::vector<double> blobs(int64_t dims) {
  std::mt19937 engine(5);
  std::normal_distribution<double> normal;
  std::vector<double> x;
  for (int64_t n = 0; n < kPoints; ++n) {
    for (int64_t d = 0; d < dims; ++d)
      x.push_back(static_cast<double>((n % 3) * (d + 2)) + normal(engine));
  }
  return x;
}

struct Modes {
  std::vector<double> at, mass;
  std::vector<int32_t> iterations;
};

Modes seek(const std::vector<double>& x, int64_t dims, const ModeSeekOptions& options) {
  Modes m{std::vector<double>(x.size()), std::vector<double>(kPoints),
          std::vector<int32_t>(kPoints)};
  seek_modes(x.data(), kPoints, dims, x.data(), kPoints, options, m.at.data(), m.mass.data(),
             m.iterations.data());
  return m;
}

/// One seed, by the definition.
std::vector<double> plain_climb(const std::vector<double>& x, size_t dims, size_t seed,
                                const ModeSeekOptions& options) {
  std::vector<double> at(&x[seed * dims], &x[seed * dims] + dims);
  for (int t = 0; t <= options.max_iterations; ++t) {
    std::vector<double> sum(dims);
    double mass = 0, moved = 0;
    for (size_t n = 0; n < kPoints; ++n) {
      double square = 0;
      for (size_t d = 0; d < dims; ++d) square += std::pow(x[n * dims + d] - at[d], 2);
      const double ratio = square / (options.bandwidth * options.bandwidth);
      const double w = options.kernel == ModeKernel::Flat
                           ? (ratio <= 1 ? 1.0 : 0.0)
                           : (ratio <= 36 ? std::exp(-ratio / 2) : 0);
      mass += w;
      for (size_t d = 0; d < dims; ++d) sum[d] += w * x[n * dims + d];
    }
    for (size_t d = 0; d < dims; ++d) {
      moved += std::pow(sum[d] / mass - at[d], 2);
      at[d] = sum[d] / mass;
    }
    if (std::sqrt(moved) <= options.tolerance * options.bandwidth) break;
  }
  return at;
}

TEST(ModeSeek, IsThePlainLoops) {
  for (const ModeKernel kernel : {ModeKernel::Flat, ModeKernel::Gaussian}) {
    for (const int64_t dims : {1, 2, 3, 4}) {
      for (const double bandwidth : {0.3, 1.1, 50.0}) {
        ModeSeekOptions options;
        options.kernel = kernel;
        options.bandwidth = bandwidth;
        options.threads = 1;
        const auto x = blobs(dims);
        const Modes modes = seek(x, dims, options);
        for (size_t n = 0; n < kPoints; n += 17) {
          const auto plain = plain_climb(x, static_cast<size_t>(dims), n, options);
          for (size_t d = 0; d < plain.size(); ++d)
            ASSERT_NEAR(modes.at[n * plain.size() + d], plain[d], 1e-9);
        }
      }
    }
  }
}

TEST(ModeSeek, SameBits) {
  for (const int64_t dims : {1, 3, 5}) {
    const auto x = blobs(dims);
    ModeSeekOptions options;
    options.kernel = ModeKernel::Gaussian;
    options.bandwidth = 0.6;
    options.threads = 1;
    const ScopedEnv baseline("MRFCORE_CPU_ISA", "baseline");
    const Modes expected = seek(x, dims, options);
    for (const std::string& isa : usable_isas()) {
      const ScopedEnv env("MRFCORE_CPU_ISA", isa);
      for (const int threads : {1, 3}) {
        options.threads = threads;
        const Modes got = seek(x, dims, options);
        EXPECT_EQ(got.at, expected.at);
        EXPECT_EQ(got.mass, expected.mass);
        EXPECT_EQ(got.iterations, expected.iterations);
      }
    }
  }
}

TEST(ModeSeek, SeedsFarOutsideStay) {
  const auto x = blobs(2);
  const std::vector<double> seeds{1e9, -1e9};
  std::vector<double> modes(2), mass(1, 7.0);
  std::vector<int32_t> iterations(1);
  seek_modes(x.data(), kPoints, 2, seeds.data(), 1, {}, modes.data(), mass.data(),
             iterations.data());
  EXPECT_EQ(modes, seeds);
  EXPECT_EQ(mass[0], 0);
}

TEST(ModeSeek, ErrorsNameTheArgument) {
  auto x = blobs(1);
  ModeSeekOptions options;
  options.bandwidth = 0;
  expect_error<std::invalid_argument>([&] { seek(x, 1, options); }, {"bandwidth is 0"});
  options.bandwidth = 1e-200;
  expect_error<std::invalid_argument>([&] { seek(x, 1, options); }, {"expected 1e-150 .. 1e150"});
  options.bandwidth = 1;
  options.max_iterations = -1;
  expect_error<std::invalid_argument>([&] { seek(x, 1, options); }, {"max_iterations is -1"});
  options.max_iterations = 1;
  x[3] = std::nan("");
  expect_error<std::invalid_argument>([&] { seek(x, 1, options); }, {"points is nan at [3, 0]"});
}

}  // namespace
}  // namespace mrfcore::test
