// SPDX-License-Identifier: Apache-2.0
// mrfcore/cuda.hpp through the emulated library, as a program would use a GPU, with memory of
// exactly the sizes that are asked for: minimize in parts of a batch, layers forward and back.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "../cpp/layers.hpp"
#include "mrfcore/cuda.hpp"

namespace mrfcore::test {
namespace {

/// Before anything looks for the library of kernels.
const bool kNamed = setenv("MRFCORE_CUDA_LIBRARY", MRF_EMULATED_LIBRARY, 1) == 0;

template <class T>
void expect_near(const std::vector<T>& found, const std::vector<T>& expected, const char* what) {
  const double tolerance = sizeof(T) == 4 ? 2e-4 : 1e-10;
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (size_t i = 0; i < found.size(); ++i) {
    const double a = static_cast<double>(found[i]), b = static_cast<double>(expected[i]);
    ASSERT_NEAR(a, b, tolerance * (1.0 + std::fabs(b))) << what << " at " << i;
  }
}

cuda::Queue queue_of(Memory& memory, int64_t bytes) { return {0, nullptr, memory.data(), bytes}; }

struct Solved {
  std::vector<int32_t> labels;
  std::vector<double> costs;
  std::vector<ItemReport> reports;
};

/// On the device if `items`, the number worked on at a time, is not 0.
Solved solve(const Instance<double>& instance, const Options& options, int64_t items) {
  const Problem<double> p = instance.problem();
  Solved s{std::vector<int32_t>(static_cast<size_t>(p.batch * p.pixels())),
           std::vector<double>(instance.unary.size()),
           {}};
  const Outputs<double> outputs{s.labels.data(), s.costs.data()};
  if (items == 0) {
    s.reports = minimize(p, options, outputs);
    return s;
  }
  const int64_t bytes = cuda::workspace_bytes(p, options, items);
  Memory memory(bytes);
  s.reports = cuda::minimize(p, options, outputs, queue_of(memory, bytes));
  memory.expect_guard_untouched();
  return s;
}

void expect_same(const Solved& found, const Solved& expected) {
  EXPECT_EQ(found.labels, expected.labels);
  expect_near(found.costs, expected.costs, "costs");
  ASSERT_EQ(found.reports.size(), expected.reports.size());
  for (size_t i = 0; i < found.reports.size(); ++i) {
    const ItemReport &a = found.reports[i], &b = expected.reports[i];
    EXPECT_NEAR(a.energy, b.energy, 1e-9);
    EXPECT_NEAR(a.lower_bound, b.lower_bound, 1e-9);
    EXPECT_EQ(a.iterations, b.iterations);
    expect_near(a.trace_energy, b.trace_energy, "trace");
  }
}

class DeviceMinimize : public testing::TestWithParam<Solver> {};

TEST_P(DeviceMinimize, InPartsOfABatch) {
  ASSERT_TRUE(kNamed);
  const bool chain = GetParam() == Solver::Chain;
  const Shape shape{chain ? 1 : 4, 5, 6, 8, 3};
  Options options;
  options.solver = GetParam();
  options.iterations = 3;
  options.lower_bound = true;
  for (const Potential& v : {Potential::truncated_linear(2.5), generic_table(6, 3)}) {
    const auto instance = generic_instance<double>(shape, v, Weights::PerEdge, 1);
    const Solved expected = solve(instance, options, 0);
    for (const int64_t items : {3, 2, 1}) expect_same(solve(instance, options, items), expected);
  }
}

TEST_P(DeviceMinimize, WatchedItemByItem) {
  const bool chain = GetParam() == Solver::Chain;
  Options options;
  options.solver = GetParam();
  options.iterations = 4;
  options.trace = true;
  options.lower_bound = true;
  options.keep_best = true;
  const Shape shape{chain ? 1 : 4, 5, 5, 4, 2};
  const auto instance = generic_instance<double>(shape, Potential::potts(), Weights::Scalar, 1);
  expect_same(solve(instance, options, 1), solve(instance, options, 0));
  options.iterations = 0;
  expect_same(solve(instance, options, 1), solve(instance, options, 0));
}

INSTANTIATE_TEST_SUITE_P(AllSolvers, DeviceMinimize,
                         testing::Values(Solver::SGM, Solver::ISGMR, Solver::TRWP, Solver::BP,
                                         Solver::TRWS, Solver::MeanField, Solver::ICM,
                                         Solver::Chain));

TEST(DeviceMinimize, RefusesMessagesOfSixteenBits) {
  const auto instance =
      generic_instance<float>({4, 5, 6, 4, 1}, Potential::potts(), Weights::Scalar, 1);
  Options options;
  options.message_dtype = MessageDtype::Float16;
  const Problem<float> problem = instance.problem();
  expect_error<std::invalid_argument>([&] { cuda::workspace_bytes(problem, options, 1); },
                                      {"message_dtype", "GPU"});
}

/// Grids of half the size first, labellings fused afterwards.
TEST(DeviceMinimize, StartsFromCoarserGridsAndPolishes) {
  Options options;
  options.iterations = 2;
  options.coarse = 2;
  options.lower_bound = true;
  for (const Weights weights : {Weights::Scalar, Weights::PerEdge}) {
    for (const int connectivity : {4, 16}) {
      const auto instance = generic_instance<double>({33, 34, 3, connectivity, 2},
                                                     Potential::truncated_linear(1.5), weights, 1);
      const Solved expected = solve(instance, options, 0);
      for (const int64_t items : {2, 1}) expect_same(solve(instance, options, items), expected);
    }
  }
}

TEST(DeviceMinimize, PolishesSmallImagesWhereAsked) {
  Options options;
  options.iterations = 2;
  options.polish = 4;
  options.lower_bound = true;
  for (const Solver solver : {Solver::TRWP, Solver::BP, Solver::ISGMR}) {
    options.solver = solver;
    for (const Potential& v : {Potential::truncated_linear(2.5), generic_table(6, 3)}) {
      const auto instance = generic_instance<double>({5, 7, 6, 8, 3}, v, Weights::PerEdge, 1);
      const Solved expected = solve(instance, options, 0);
      for (const int64_t items : {3, 1}) expect_same(solve(instance, options, items), expected);
    }
  }
}

TEST(DeviceMinimize, SaysHowMuchMemoryItWants) {
  const auto instance =
      generic_instance<double>({3, 3, 4, 4, 1}, Potential::potts(), Weights::Scalar, 1);
  const Problem<double> p = instance.problem();
  const int64_t needed = cuda::workspace_bytes(p, Options{}, 1);
  Memory memory(needed - 1);
  std::vector<int32_t> labels(9);
  try {
    cuda::minimize(p, Options{}, {labels.data(), nullptr}, queue_of(memory, needed - 1));
    FAIL() << "a workspace that is too small was taken";
  } catch (const std::bad_alloc& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(needed)), std::string::npos);
  }
}

/// Costs and gradients on the device.
template <class T>
Pass<T> forward_and_back_there(const Instance<T>& instance, const LayerOptions& options,
                               const Wanted& wanted) {
  const Problem<T> problem = instance.problem();
  Pass<T> pass{std::vector<T>(instance.unary.size(), std::numeric_limits<T>::quiet_NaN()),
               unwritten_gradient(instance, wanted)};
  // A scalar weight whose gradient is wanted is on the device.
  const cuda::DeviceInputs<T> inputs{nullptr,
                                     instance.edge_weights.empty() ? &instance.weight : nullptr};
  Memory tape(cuda::layer_tape_bytes(problem, options));
  {
    const int64_t bytes = cuda::layer_workspace_bytes<T>(problem, options, inputs, nullptr);
    Memory memory(bytes);
    cuda::layer_forward(problem, options, inputs, pass.costs.data(), tape.data(),
                        queue_of(memory, bytes));
    memory.expect_guard_untouched();
  }
  tape.expect_guard_untouched();
  const Gradients<T> gradients = view(pass.gradient);
  const int64_t bytes = cuda::layer_workspace_bytes<T>(problem, options, inputs, &gradients);
  Memory memory(bytes);
  const std::vector<T> upstream = upstream_for(instance);
  cuda::layer_backward(problem, options, inputs, tape.data(), upstream.data(), gradients,
                       queue_of(memory, bytes));
  memory.expect_guard_untouched();
  return pass;
}

template <class T>
void compare(const Shape& shape, const Potential& v, Weights weights, const LayerOptions& options,
             const Wanted& wanted = {}) {
  const auto instance = generic_instance<T>(shape, v, weights, 5);
  const Pass<T> expected = forward_and_back(instance, options, wanted);
  const Pass<T> found = forward_and_back_there(instance, options, wanted);
  expect_near(found.costs, expected.costs, "costs");
  expect_near(found.gradient.unary, expected.gradient.unary, "unary");
  expect_near(found.gradient.edge_weights, expected.gradient.edge_weights, "edge weights");
  expect_near(found.gradient.weight, expected.gradient.weight, "weight");
  expect_near(found.gradient.table, expected.gradient.table, "table");
}

class DeviceLayer : public testing::TestWithParam<LayerSetup> {};

TEST_P(DeviceLayer, HasTheCpusCostsAndGradients) {
  const LayerOptions& o = GetParam().options;
  compare<double>({3, 3, 5, 8, 2}, generic_table(5, 3), Weights::PerEdge, o);
  compare<double>({3, 3, 5, 4, 2}, Potential::truncated_linear(2.5), Weights::Scalar, o);
  compare<float>({2, 3, 33, 4, 1}, Potential::huber(1.5), Weights::PerEdge, o);
}

TEST_P(DeviceLayer, RunsSegmentsAgain) {
  LayerOptions o = GetParam().options;
  o.iterations = 5;
  o.store_every = 2;
  compare<double>({3, 3, 4, 4, 2}, generic_table(4, 3), Weights::PerEdge, o);
}

TEST_P(DeviceLayer, ComputesWhatIsWanted) {
  for (const Wanted& wanted : {Wanted{true, false, false}, Wanted{false, true, false},
                               Wanted{false, false, true}, Wanted{false, false, false}}) {
    compare<double>({2, 3, 3, 4, 1}, generic_table(3, 3), Weights::Scalar, GetParam().options,
                    wanted);
  }
}

INSTANTIATE_TEST_SUITE_P(AllSetups, DeviceLayer, testing::ValuesIn(layer_setups()),
                         [](const auto& info) { return "Setup" + std::to_string(info.index); });

}  // namespace
}  // namespace mrfcore::test
