// SPDX-License-Identifier: Apache-2.0
// What goes on around a running solve: callbacks, interruption, environment, memory, bad input.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "instances.hpp"
#include "ops/dispatch.hpp"

namespace mrfcore::test {
namespace {

using Bad = std::invalid_argument;

Instance<float> small(int64_t batch = 1) {
  return random_instance<float>({5, 6, 4, 4, batch}, Potential::potts(), Weights::PerEdge, 1);
}

// ------------------------------------------------------------------ callback

TEST(Callback, SeesEveryIterationOfEveryItem) {
  Options options = options_for(Solver::TRWP, 3);
  options.threads = 4;
  std::vector<Progress> seen;
  const auto caller = std::this_thread::get_id();
  options.callback = [&](const Progress& p) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    seen.push_back(p);
    return false;
  };
  options.trace = true;
  const Outcome<float> got = run(small(2), options);
  ASSERT_EQ(seen.size(), 6u);
  for (size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].item, static_cast<int64_t>(i / 3));
    EXPECT_EQ(seen[i].iteration, static_cast<int>(i % 3) + 1);
    EXPECT_EQ(seen[i].iterations, 3);
    EXPECT_EQ(seen[i].energy, got.reports[i / 3].trace_energy[i % 3]);
    EXPECT_TRUE(std::isnan(seen[i].lower_bound));
    EXPECT_GE(seen[i].seconds, 0.0);
  }
}

TEST(Callback, GetsTheBoundIfAskedFor) {
  Options options = options_for(Solver::TRWS, 3);
  options.lower_bound = true;
  double last = 0.0;
  options.callback = [&](const Progress& p) {
    EXPECT_LE(p.lower_bound, p.energy);
    last = p.lower_bound;
    return false;
  };
  EXPECT_EQ(run(small(), options).report().lower_bound, last);
}

TEST(Callback, StopsItsItemOnly) {
  Options options = options_for(Solver::ISGMR, 9);
  options.callback = [](const Progress& p) { return p.item == 1 && p.iteration == 2; };
  const Outcome<float> got = run(small(3), options);
  EXPECT_EQ(got.reports[0].iterations, 9);
  EXPECT_EQ(got.reports[1].iterations, 2);
  EXPECT_EQ(got.reports[2].iterations, 9);
}

TEST(Callback, MayThrow) {
  Options options = options_for(Solver::ISGMR, 9);
  options.callback = [](const Progress&) -> bool { throw std::runtime_error("enough"); };
  expect_error<std::runtime_error>([&] { run(small(), options); }, {"enough"});
}

// ------------------------------------------------------------------ interruption

class Interruption : public testing::TestWithParam<Solver> {};

TEST_P(Interruption, EndsALongSolve) {
  for (const int64_t batch : {1, 3}) {  // 3 items run side by side
    for (const int threads : {1, 2}) {
      SCOPED_TRACE("batch " + std::to_string(batch) + ", threads " + std::to_string(threads));
      const auto start = std::chrono::steady_clock::now();
      const auto elapsed = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      };
      Options options = options_for(GetParam(), 1 << 30);
      options.threads = threads;
      options.interrupted = [&] { return elapsed() > 0.1; };
      EXPECT_THROW(run(small(batch), options), Interrupted);
      EXPECT_LT(elapsed(), 5.0);  // a busy machine under a sanitizer; a quiet one needs 0.15
    }
  }
}

TEST_P(Interruption, IsNotAskedForByAnyoneElse) {
  Options options = options_for(GetParam(), 200);
  options.threads = 2;
  const auto expected = run(small(), options);
  const auto caller = std::this_thread::get_id();
  options.interrupted = [&] {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    return false;
  };
  EXPECT_EQ(run(small(), options).costs, expected.costs);
}

INSTANTIATE_TEST_SUITE_P(AllSolvers, Interruption, testing::ValuesIn(kGridSolvers),
                         [](const auto& info) { return solver_name(info.param); });

TEST(Interruption, WorksInsideOneIteration) {
  // One iteration of this takes far longer than the polling interval.
  const auto instance =
      random_instance<float>({120, 160, 160, 4}, random_table(160, 1), Weights::Scalar, 1);
  Options options = options_for(Solver::TRWP, 1000);
  options.threads = 2;
  int asked = 0;
  options.interrupted = [&] { return ++asked == 2; };
  EXPECT_THROW(run(instance, options), Interrupted);
}

TEST(Interruption, MayThrow) {
  const auto instance =
      random_instance<float>({120, 160, 160, 4}, random_table(160, 1), Weights::Scalar, 1);
  Options options = options_for(Solver::TRWP, 1000);
  options.threads = 2;
  options.interrupted = []() -> bool { throw std::runtime_error("enough"); };
  expect_error<std::runtime_error>([&] { run(instance, options); }, {"enough"});
}

TEST(Interruption, IsAskedForWhileOtherThreadsStillWork) {
  // Two pixels that repel each other: simultaneous updates flip both for ever. Strong unaries calm
  // them, and that item ends after two iterations. One of the orders leaves the caller idle.
  for (const size_t calm : {0u, 1u}) {
    Instance<float> instance = random_instance<float>(
        {1, 2, 2, 4, 2}, Potential::table({5, 0, 0, 6}, 2), Weights::Scalar, 1);
    instance.weight = 1.0f;
    for (size_t i = 0; i < 8; ++i) instance.unary[i] = i % 2 == 0 ? 0.0f : 0.1f;
    for (const size_t i : {1u, 3u}) instance.unary[4 * calm + i] = 100.0f;
    Options options = options_for(Solver::MeanField, 1 << 22);
    options.threads = 2;
    options.tolerance = 0.0;
    options.interrupted = [] { return true; };
    EXPECT_THROW(run(instance, options), Interrupted) << "calm item " << calm;
  }
}

// ------------------------------------------------------------------ environment

TEST(Environment, ChoosesTheInstructionSet) {
  for (const std::string& isa : usable_isas()) {
    const ScopedEnv env("MRFCORE_CPU_ISA", isa);
    EXPECT_EQ(cpu_isa(), isa);
  }
  const ScopedEnv env("MRFCORE_CPU_ISA", "sse9");
  expect_error<Bad>([] { run(small(), Options{}); }, {"MRFCORE_CPU_ISA=sse9", "baseline, avx2"});
}

TEST(Environment, ChoosesTheNumberOfThreads) {
  {
    const ScopedEnv env("MRFCORE_NUM_THREADS", "3");
    EXPECT_EQ(default_threads(), 3);
  }
  for (const char* bad : {"0", "-2", "two", "2x", "99999999999999"}) {
    const ScopedEnv env("MRFCORE_NUM_THREADS", bad);
    expect_error<Bad>([] { default_threads(); }, {"MRFCORE_NUM_THREADS", bad, "positive"});
  }
  EXPECT_GE(default_threads(), 1);
}

TEST(Environment, SmallCallsTakeOneThreadUnlessTold) {
  const ScopedEnv env("MRFCORE_NUM_THREADS", "3");
  EXPECT_EQ(threads_for(512, 0), 1);
  EXPECT_EQ(threads_for(512, 2), 2);
  EXPECT_EQ(threads_for(1 << 20, 0), 3);
  EXPECT_EQ(worthwhile_threads(3, 512), 1);
  expect_error<Bad>([] { threads_for(512, -1); }, {"threads", "-1"});
}

// ------------------------------------------------------------------ memory

TEST(Memory, IsAskedForBeforeItIsAllocated) {
  float nothing = 0;
  for (const Solver solver : kGridSolvers) {
    if (solver == Solver::ICM) continue;  // needs next to none
    Problem<float> huge;
    huge.unary = &nothing;  // never read: the size alone decides
    huge.height = huge.width = int64_t{1} << 20;
    huge.labels = 64;
    int32_t label = 0;
    const Options options = options_for(solver, 1);
    const std::string bytes = std::to_string(workspace_bytes(huge, options));
    expect_error<OutOfMemory>(
        [&] { minimize(huge, options, Outputs<float>{&label, nullptr}); },
        {"unary [1, 1048576, 1048576, 64]", bytes.c_str(), "available", "GiB"});
  }
}

TEST(Memory, GrowsWithTheMessagesOfTheSolver) {
  Problem<float> p;
  p.height = p.width = 1000;
  p.labels = 32;
  const double volume = 1e6 * 32 * sizeof(float);
  const auto volumes = [&](Solver solver) {
    return static_cast<double>(workspace_bytes(p, options_for(solver, 1))) / volume;
  };
  EXPECT_NEAR(volumes(Solver::SGM), 2, 0.01);
  EXPECT_NEAR(volumes(Solver::TRWP), 5, 0.01);
  EXPECT_NEAR(volumes(Solver::TRWS), 4, 0.01);
  EXPECT_NEAR(volumes(Solver::ICM), 0, 0.01);
  p.connectivity = 16;
  EXPECT_NEAR(volumes(Solver::TRWP), 17, 0.01);
}

// ------------------------------------------------------------------ bad input

void expect_bad(const Problem<float>& p, const Options& options,
                std::initializer_list<const char*> parts) {
  std::vector<int32_t> labels(1000);
  expect_error<Bad>([&] { minimize(p, options, Outputs<float>{labels.data(), nullptr}); }, parts);
}

TEST(BadInput, OfTheProblemIsNamed) {
  const Instance<float> instance = small();
  const Options options = options_for(Solver::TRWP, 1);
  for (int64_t Problem<float>::* size : {&Problem<float>::batch, &Problem<float>::height,
                                         &Problem<float>::width, &Problem<float>::labels}) {
    for (const int64_t wrong : {0, -3}) {
      Problem<float> p = instance.problem();
      p.*size = wrong;
      expect_bad(p, options, {"unary", "non-empty [B, H, W, L]", wrong == 0 ? "0" : "-3"});
    }
  }
  for (const int wrong : {0, 2, 5, 6, 32}) {
    Problem<float> p = instance.problem();
    p.connectivity = wrong;
    expect_bad(p, options, {"connectivity", "4, 8 or 16", std::to_string(wrong).c_str()});
  }
  Problem<float> p = instance.problem();
  p.pairwise = random_table(3, 1);
  expect_bad(p, options, {"pairwise", "L = 4", "[3, 3]"});
  p.height = p.width = int64_t{1} << 31;
  expect_bad(p, options, {"unary", "2^56", "[1, 2147483648, 2147483648, 4]"});
  p = instance.problem();
  p.pairwise = Potential::truncated_quadratic();
  p.labels = 40'000'001;
  expect_bad(p, options, {"pairwise", "1e12", "V(0, 40000000) = 1.6e+15"});
}

TEST(BadInput, OfUnariesIsFoundWhereverItIs) {
  constexpr float kBad[] = {std::numeric_limits<float>::quiet_NaN(),
                            -std::numeric_limits<float>::infinity(), 1e31f, -1e31f};
  for (const float bad : kBad) {
    Instance<float> instance = small(2);
    instance.unary[(30 + 4 * 6 + 5) * 4 + 3] = bad;  // the last value of the last pixel
    expect_bad(instance.problem(), options_for(Solver::SGM, 1),
               {"unary", "got", "at y = 4, x = 5, label 3 of item 1"});
    instance = small();
    instance.unary[(6 + 2) * 4 + 1] = bad;
    expect_bad(instance.problem(), options_for(Solver::SGM, 1),
               {"unary", "at y = 1, x = 2, label 1"});
  }
}

TEST(BadInput, OfWeightsIsFoundWhereverItIs) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const Options options = options_for(Solver::ISGMR, 1);
  for (const float bad : {-1.0f, std::numeric_limits<float>::quiet_NaN(), kInf}) {
    Instance<float> instance = small(2);
    instance.edge_weights[static_cast<size_t>(instance.weights_size()) + 30 + 3 * 6 + 5] = bad;
    expect_bad(instance.problem(), options, {"weights", "[0, 1e12)", "[1, 3, 5]", "item 1"});
    instance.edge_weights.clear();
    instance.weight = bad;
    expect_bad(instance.problem(), options, {"weights", "[0, 1e12)", "got"});
  }
}

TEST(BadInput, OfOptionsIsNamed) {
  const Instance<float> instance = small();
  const auto refuse = [&](const std::function<void(Options&)>& change,
                          std::initializer_list<const char*> parts) {
    Options options = options_for(Solver::TRWP, 1);
    change(options);
    expect_bad(instance.problem(), options, parts);
  };
  refuse([](Options& o) { o.iterations = -1; }, {"iterations", ">= 0", "-1"});
  refuse([](Options& o) { o.threads = -2; }, {"threads", "-2"});
  refuse([](Options& o) { o.rho = 1.5; }, {"rho", "1.5"});
  refuse([](Options& o) { o.rho = -0.5; }, {"rho", "-0.5"});
  refuse([](Options& o) { o.rho = std::nan(""); }, {"rho", "nan"});
  refuse([](Options& o) { o.damping = 1.0; }, {"damping", "[0, 1)", "1.0"});
  refuse([](Options& o) { o.damping = -0.1; }, {"damping", "-0.1"});
  refuse([](Options& o) { o.tolerance = -1.0; }, {"tolerance", ">= 0"});
  refuse([](Options& o) { o.gap_tolerance = std::nan(""); }, {"gap_tolerance", "nan"});
  std::vector<int32_t> start(30, 0);
  start[13] = 4;
  refuse([&](Options& o) { o.init_labels = start.data(); }, {"init", "0..3", "[2, 1]"});
}

TEST(BadInput, NullPointersAreRefused) {
  const Instance<float> instance = small();
  const Options options = options_for(Solver::TRWP, 1);
  Problem<float> p = instance.problem();
  expect_error<Bad>([&] { minimize(p, options, Outputs<float>{}); }, {"labels", "null"});
  expect_error<Bad>([&] { energy(p, nullptr); }, {"labels", "null"});
  p.unary = nullptr;
  expect_bad(p, options, {"unary", "null"});
}

}  // namespace
}  // namespace mrfcore::test
