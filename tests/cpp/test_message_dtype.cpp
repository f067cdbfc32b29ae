// SPDX-License-Identifier: Apache-2.0
// Options::message_dtype: what 16 bits do to messages, and what they may not do.
#include <gtest/gtest.h>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

constexpr MessageDtype kHalves[] = {MessageDtype::Float16, MessageDtype::BFloat16};
constexpr Solver kStoring[] = {Solver::TRWP, Solver::BP, Solver::ISGMR, Solver::TRWS};

/// To nearest, ties to even, by division: x > 0.
double rounded(double x, MessageDtype storage) {
  const bool ieee = storage == MessageDtype::Float16;
  const int bits = ieee ? 11 : 8, lowest = ieee ? -14 : -126;
  const double ulp = std::ldexp(1.0, std::max(std::ilogb(x), lowest) - (bits - 1));
  return std::nearbyint(x / ulp) * ulp;
}

/// Numbers of every size up to 65504, among them what Float16 and BFloat16 hold, what lies half-way
/// between two of those, and the neighbours of both.
std::vector<float> numbers_to_round() {
  std::vector<float> numbers;
  Random random(5);
  for (int exponent = -27; exponent < 16; ++exponent) {
    for (const int bits : {7, 8, 10, 11}) {
      for (int i = 0; i < 8; ++i) {
        const double mantissa = 1.0 + random.uniform(1.0, std::ldexp(1.0, -bits));
        const auto x = static_cast<float>(std::ldexp(mantissa, exponent));
        for (const float y : {std::nextafter(x, 0.0f), x, std::nextafter(x, 1e9f)})
          numbers.push_back(std::min(y, 65504.0f));
      }
    }
  }
  return numbers;
}

/// Two nodes: the costs of the second, whose unary is zero, are the message to it.
TEST(MessageDtype, RoundsToNearest) {
  const std::vector<float> numbers = numbers_to_round();
  const auto labels = static_cast<int64_t>(numbers.size()) + 1;
  Instance<float> instance{{1, 2, labels}, Potential::potts(), 65504.0f, {}, {}};
  instance.unary.assign(static_cast<size_t>(2 * labels), 0.0f);
  std::copy(numbers.begin(), numbers.end(), instance.unary.begin() + 1);  // label 0 is the lowest
  for (const std::string& isa : usable_isas()) {
    const ScopedEnv env("MRFCORE_CPU_ISA", isa);
    for (const MessageDtype storage : kHalves) {
      for (const Solver solver : {Solver::ISGMR, Solver::BP}) {
        Options options = options_for(solver, 1);
        options.message_dtype = storage;
        const std::vector<float> costs = run(instance, options).costs;
        for (size_t i = 0; i < numbers.size(); ++i) {
          ASSERT_EQ(static_cast<double>(costs[static_cast<size_t>(labels) + 1 + i]),
                    rounded(numbers[i], storage))
              << isa << ", " << numbers[i];
        }
      }
    }
  }
}

/// Small whole numbers are kept as they are: with 16 bits everything is as without.
TEST(MessageDtype, KeepsWhatFits) {
  for (int index : {0, 1, 3, 4, 7}) {
    for (const int64_t labels : {5, 40}) {
      const Potential v = index == 4   ? Potential::sgm_penalty(1.0, 2.0)
                          : index == 7 ? random_table(labels, 3, 1.0)
                                       : some_potential(index, labels);
      const auto instance =
          random_instance<float>({9, 11, labels, 8, 2}, v, Weights::Scalar, 3, 1.0);
      for (const Solver solver : {Solver::BP, Solver::ISGMR}) {
        Options options = options_for(solver, 2);
        options.lower_bound = true;
        options.polish = 2;
        const Outcome<float> full = run(instance, options);
        for (const MessageDtype storage : kHalves) {
          options.message_dtype = storage;
          const Outcome<float> half = run(instance, options);
          ASSERT_EQ(half.costs, full.costs) << solver_name(solver) << " " << potential_name(v);
          ASSERT_EQ(half.labels, full.labels);
          ASSERT_EQ(half.report().lower_bound, full.report().lower_bound);
        }
      }
    }
  }
}

/// Energies are those of the labels, bounds are bounds, and no label is forbidden, however coarsely
/// messages are kept.
TEST(MessageDtype, EnergiesAndBoundsStayTrue) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    const int connectivity = seed % 3 == 0 ? 8 : 4;
    auto instance = random_instance<float>(
        {3, 4, 3, connectivity}, some_potential(static_cast<int>(seed), 3), Weights::PerEdge, seed);
    instance.unary[seed] = std::numeric_limits<float>::infinity();
    const plain::Grid g = instance.grid();
    const double optimum = plain::optimum(g);
    for (const Solver solver : kStoring) {
      for (const MessageDtype storage : kHalves) {
        Options options = options_for(solver, 20);
        options.message_dtype = storage;
        options.lower_bound = true;
        const Outcome<float> got = run(instance, options);
        const double energy = plain::energy(g, got.labels);
        EXPECT_NEAR(got.report().energy, energy, 1e-5 * energy) << solver_name(solver);
        EXPECT_LE(got.report().lower_bound, optimum * (1.0 + 1e-6)) << solver_name(solver);
        EXPECT_TRUE(std::isfinite(energy)) << solver_name(solver);
      }
    }
  }
}

/// What rounding of the messages costs: next to nothing.
TEST(MessageDtype, EndsNearby) {
  for (const int64_t labels : {7, 70}) {
    const auto instance = random_instance<float>({37, 45, labels}, Potential::truncated_linear(4.0),
                                                 Weights::PerEdge, 5);
    for (const Solver solver : kStoring) {
      Options options = options_for(solver, 10);
      options.coarse = solver == Solver::TRWP ? 2 : 0;
      options.polish = solver == Solver::TRWP ? 4 : 0;
      const double full = run(instance, options).report().energy;
      options.message_dtype = MessageDtype::Float16;
      EXPECT_NEAR(run(instance, options).report().energy, full, 5e-3 * full) << solver_name(solver);
      options.message_dtype = MessageDtype::BFloat16;
      EXPECT_NEAR(run(instance, options).report().energy, full, 1e-2 * full) << solver_name(solver);
    }
  }
}

TEST(MessageDtype, GivesTheSameBits) {
  for (const int64_t labels : {7, 33, 300}) {
    const auto instance = random_instance<float>(
        {33, 35, labels, 4, 2}, Potential::truncated_linear(5.0), Weights::PerEdge, 8);
    for (const Solver solver : kStoring) {
      for (const MessageDtype storage : kHalves) {
        Options options = options_for(solver, 3);
        options.message_dtype = storage;
        options.damping = solver == Solver::TRWS ? 0.0 : 0.25;
        options.coarse = solver == Solver::TRWP ? 2 : 0;
        options.lower_bound = true;
        const Outcome<float> expected = run(instance, options);
        for (const std::string& isa : usable_isas()) {
          const ScopedEnv env("MRFCORE_CPU_ISA", isa);
          options.threads = 3;
          const Outcome<float> got = run(instance, options);
          ASSERT_EQ(got.labels, expected.labels) << isa << " " << solver_name(solver);
          ASSERT_EQ(got.costs, expected.costs) << isa << " " << solver_name(solver);
          ASSERT_EQ(got.report().lower_bound, expected.report().lower_bound) << isa;
        }
      }
    }
  }
}

#if defined(__x86_64__)
/// Threads may differ in this (torch.set_flush_denormal sets the caller's only).
TEST(MessageDtype, SubnormalNumbersMayBeFlushed) {
  auto instance =
      random_instance<float>({16, 18, 12}, Potential::truncated_linear(3.0), Weights::Scalar, 2);
  for (float& u : instance.unary) u *= 1.0f / 8192;  // Float16 is subnormal below 2^-14
  instance.weight = 1.0f / 2048;
  Options options = options_for(Solver::TRWP, 4);
  options.message_dtype = MessageDtype::Float16;
  for (const std::string& isa : usable_isas()) {
    const ScopedEnv env("MRFCORE_CPU_ISA", isa);
    const Outcome<float> expected = run(instance, options);
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040);  // results and operands
    const Outcome<float> flushed = run(instance, options);
    __builtin_ia32_ldmxcsr(before);
    EXPECT_EQ(flushed.costs, expected.costs) << isa;
  }
}
#endif

TEST(MessageDtype, TakesHalfTheMemory) {
  const auto instance =
      random_instance<float>({64, 64, 16, 8}, Potential::truncated_linear(2.0), Weights::Scalar, 1);
  const int64_t volume = int64_t{64} * 64 * 16 * 4;
  for (const Solver solver : kStoring) {
    Options options = options_for(solver, 3);
    const int64_t full = workspace_bytes(instance.problem(), options);
    options.message_dtype = MessageDtype::Float16;
    const int64_t cavity = solver == Solver::ISGMR ? volume : 0;  // no longer where messages go
    EXPECT_EQ(full - workspace_bytes(instance.problem(), options), 4 * volume - cavity);
  }
}

TEST(MessageDtype, RefusesWhatItCannotKeep) {
  const Shape shape{4, 5, 9};
  auto instance =
      random_instance<float>(shape, Potential::truncated_linear(8.0), Weights::PerEdge, 1);
  Options options = options_for(Solver::TRWP, 1);
  options.message_dtype = MessageDtype::Float16;
  instance.edge_weights[0] = 8189.0f;  // times V = 8
  expect_error<std::invalid_argument>([&] { run(instance, options); },
                                      {"message_dtype", "65504", "65512", "bfloat16"});
  instance.edge_weights[0] = 8188.0f;
  instance.edge_weights[4] = 1e9f;  // of an edge that leaves the image
  run(instance, options);
  for (float& w : instance.edge_weights) w = 1e-4f;  // times V = 8
  expect_error<std::invalid_argument>([&] { run(instance, options); },
                                      {"message_dtype", "0.0008", "0.001", "bfloat16"});
  for (float& w : instance.edge_weights) w = 0.0f;
  run(instance, options);
  options.solver = Solver::SGM;
  expect_error<std::invalid_argument>([&] { run(instance, options); }, {"message_dtype", "TRWS"});
  const auto precise =
      random_instance<double>(shape, Potential::truncated_linear(8.0), Weights::PerEdge, 1);
  options.solver = Solver::TRWS;
  expect_error<std::invalid_argument>([&] { run(precise, options); },
                                      {"message_dtype", "float32", "float64"});
  LayerOptions layer;
  layer.message_dtype = MessageDtype::BFloat16;
  layer.solver = Solver::TRWP;
  expect_error<std::invalid_argument>([&] { layer_tape_bytes(instance.problem(), layer); },
                                      {"message_dtype", "layer"});
}

}  // namespace
}  // namespace mrfcore::test
