// SPDX-License-Identifier: Apache-2.0
// What layers refuse: the message names the argument, and nothing has been written.
#include <gtest/gtest.h>

#include "layers.hpp"

namespace mrfcore::test {
namespace {

using Bad = std::invalid_argument;
constexpr float kMark = -123.0f;

Instance<float> small(int64_t batch = 1, Weights weights = Weights::PerEdge) {
  return generic_instance<float>({4, 5, 3, 4, batch}, Potential::truncated_linear(2.0), weights, 1);
}

/// Everything that a call writes to, marked, and what it reads.
struct Call {
  std::vector<float> costs = std::vector<float>(1000, kMark);
  std::vector<float> unary = costs, edge_weights = costs, weight = costs, table = costs;
  std::vector<float> upstream = std::vector<float>(1000, 1.0f);
  Memory tape{1 << 16};

  Gradients<float> gradients(const Problem<float>& p) {
    const bool scalar = p.edge_weights == nullptr;
    return {unary.data(), scalar ? nullptr : edge_weights.data(), scalar ? weight.data() : nullptr,
            table.data()};
  }
  void expect_untouched() const {
    const std::vector<float> marks(1000, kMark);
    EXPECT_EQ(costs, marks);
    EXPECT_EQ(unary, marks);
    EXPECT_EQ(edge_weights, marks);
    EXPECT_EQ(weight, marks);
    EXPECT_EQ(table, marks);
  }
  void forward(const Problem<float>& p, const LayerOptions& options) {
    layer_forward(p, options, costs.data(), tape.data(), nullptr);
  }
  void backward(const Problem<float>& p, const LayerOptions& options) {
    layer_backward(p, options, tape.data(), upstream.data(), gradients(p), nullptr);
  }
};

/// Refused by both passes.
void expect_bad_values(const Problem<float>& p, const LayerOptions& options,
                       std::initializer_list<const char*> parts) {
  Call call;
  expect_error<Bad>([&] { call.forward(p, options); }, parts);
  expect_error<Bad>([&] { call.backward(p, options); }, parts);
  call.expect_untouched();
}

/// Refused by all four functions.
void expect_bad(const Problem<float>& p, const LayerOptions& options,
                std::initializer_list<const char*> parts) {
  expect_error<Bad>([&] { layer_tape_bytes(p, options); }, parts);
  expect_error<Bad>([&] { layer_workspace_bytes(p, options, false); }, parts);
  expect_bad_values(p, options, parts);
}

TEST(LayerErrors, OfTheProblemAreNamed) {
  const Instance<float> instance = small();
  const LayerOptions options = layer_options(Solver::TRWP, 2);
  for (int64_t Problem<float>::* size : {&Problem<float>::batch, &Problem<float>::height,
                                         &Problem<float>::width, &Problem<float>::labels}) {
    Problem<float> p = instance.problem();
    p.*size = 0;
    expect_bad(p, options, {"unary", "non-empty [B, H, W, L]", "0"});
  }
  Problem<float> p = instance.problem();
  p.connectivity = 6;
  expect_bad(p, options, {"connectivity", "4, 8 or 16", "6"});
  p = instance.problem();
  p.pairwise = random_table(4, 1);
  expect_bad(p, options, {"pairwise", "[L, L] with L = 3", "[4, 4]"});
  p = instance.problem();
  p.unary = nullptr;
  expect_bad(p, options, {"unary", "null"});
  p = instance.problem();
  p.labels = 65536;  // of indices in two bytes
  expect_bad(p, options, {"unary", "at most 65535 labels", "L = 65536"});
}

TEST(LayerErrors, OfWeightsAreNamed) {
  const LayerOptions options = layer_options(Solver::ISGMR, 1);
  for (const float bad :
       {-0.5f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Instance<float> instance = small(2);
    instance.edge_weights[static_cast<size_t>(instance.weights_size()) + 20 + 2 * 5 + 3] = bad;
    expect_bad_values(instance.problem(), options, {"weights", "[0, 1e12)", "[1, 2, 3]", "item 1"});
    instance = small(1, Weights::Scalar);
    instance.weight = bad;
    expect_bad(instance.problem(), options, {"weights", "[0, 1e12)", "got"});
  }
}

TEST(LayerErrors, OfOptionsAreNamed) {
  const Instance<float> instance = small();
  const auto refuse = [&](Solver solver, auto change, std::initializer_list<const char*> parts) {
    LayerOptions options = layer_options(solver, 2);
    change(options);
    expect_bad(instance.problem(), options, parts);
  };
  const auto as_is = [](LayerOptions&) {};
  for (const Solver solver : {Solver::TRWS, Solver::ICM})
    refuse(solver, as_is, {"solver", "SGM, ISGMR, TRWP, BP or MeanField"});
  refuse(Solver::Chain, as_is, {"solver"});
  const auto temperature = [](double t) { return [t](LayerOptions& o) { o.temperature = t; }; };
  for (const Solver solver : {Solver::SGM, Solver::MeanField})
    refuse(solver, temperature(0.5), {"temperature", "ISGMR, TRWP and BP", "0.5"});
  for (const double t : {-1.0, 1e-7, 1e7, std::numeric_limits<double>::infinity(), std::nan("")})
    refuse(Solver::TRWP, temperature(t), {"temperature", "[1e-6, 1e6]"});
  for (const int n : {0, -3})
    refuse(Solver::TRWP, [n](LayerOptions& o) { o.store_every = n; }, {"store_every", ">= 1"});
  refuse(Solver::BP, [](LayerOptions& o) { o.iterations = -1; }, {"iterations", ">= 0", "-1"});
  refuse(Solver::TRWP, [](LayerOptions& o) { o.rho = 1.5; }, {"rho", "1.5"});
  refuse(Solver::BP, [](LayerOptions& o) { o.damping = 1.0; }, {"damping", "[0, 1)"});
  refuse(Solver::BP, [](LayerOptions& o) { o.threads = -2; }, {"threads", "-2"});
}

TEST(LayerErrors, OfUnariesAreFoundWhereverTheyAre) {
  constexpr float kBad[] = {std::numeric_limits<float>::quiet_NaN(),
                            -std::numeric_limits<float>::infinity(), 1e31f, -1e31f};
  for (const float bad : kBad) {
    for (const LayerSetup& setup : layer_setups()) {
      SCOPED_TRACE(setup.name);
      Instance<float> instance = small(2);
      Call call;
      instance.unary.back() = bad;
      expect_error<Bad>([&] { call.forward(instance.problem(), setup.options); },
                        {"unary", "got", "at y = 3, x = 4, label 2 of item 1"});
      call.expect_untouched();
    }
  }
}

/// Changed in place between the two passes: noticed where the backward pass reads them again.
TEST(LayerErrors, OfUnariesAreFoundInTheBackwardPassThatReadsThem) {
  for (const bool soft : {false, true}) {
    Instance<float> instance = small();
    LayerOptions options = layer_options(Solver::TRWP, 3);
    options.temperature = soft ? 0.5 : 0.0;
    options.store_every = soft ? 1 : 2;
    Call call;
    Memory tape(layer_tape_bytes(instance.problem(), options));
    forward_costs(instance, options, tape.data());
    instance.unary[7] = std::numeric_limits<float>::quiet_NaN();
    const Problem<float> p = instance.problem();
    expect_error<Bad>(
        [&] {
          layer_backward(p, options, tape.data(), call.upstream.data(), call.gradients(p), nullptr);
        },
        {"unary", "nan", "at y = 0, x = 2, label 1"});
    call.expect_untouched();
  }
}

TEST(LayerErrors, OfPointersAreNamed) {
  const Instance<float> instance = small(), scalar = small(1, Weights::Scalar);
  const Problem<float> p = instance.problem(), q = scalar.problem();
  const LayerOptions options = layer_options(Solver::TRWP, 2);
  Call call;
  const Gradients<float> wanted = call.gradients(p);
  const float* upstream = call.upstream.data();
  std::byte* tape = call.tape.data();
  expect_error<Bad>([&] { layer_forward<float>(p, options, nullptr, tape, nullptr); },
                    {"costs", "null"});
  expect_error<Bad>([&] { layer_forward(p, options, call.costs.data(), tape + 4, nullptr); },
                    {"tape", "aligned to 8 bytes"});
  expect_error<Bad>([&] { layer_backward(p, options, tape + 4, upstream, wanted, nullptr); },
                    {"tape", "aligned to 8 bytes"});
  expect_error<Bad>([&] { layer_backward(p, options, nullptr, upstream, wanted, nullptr); },
                    {"tape", "null"});
  expect_error<Bad>([&] { layer_backward<float>(p, options, tape, nullptr, wanted, nullptr); },
                    {"grad_costs", "null"});
  const Gradients<float> of_scalar{nullptr, nullptr, call.weight.data(), nullptr};
  expect_error<Bad>([&] { layer_backward(p, options, tape, upstream, of_scalar, nullptr); },
                    {"gradients.weight", "edge weights"});
  const Gradients<float> of_edges{nullptr, call.edge_weights.data(), nullptr, nullptr};
  expect_error<Bad>([&] { layer_backward(q, options, tape, upstream, of_edges, nullptr); },
                    {"gradients.edge_weights", "no edge weights"});
  call.expect_untouched();
}

/// The header of the tape says what it was made with.
TEST(LayerErrors, ATapeOfAnotherCallIsRefused) {
  const auto instance = small(2);
  const Problem<float> made = instance.problem();
  LayerOptions options = layer_options(Solver::TRWP, 3);
  const auto refuse = [&](const Problem<float>& p, const LayerOptions& o) {
    Call call;
    layer_forward(made, options, std::vector<float>(instance.unary.size()).data(), call.tape.data(),
                  nullptr);
    expect_error<Bad>([&] { call.backward(p, o); }, {"tape", "layer_forward()"});
    call.expect_untouched();
  };
  const auto with_problem = [&](auto change) {
    Problem<float> p = made;
    change(p);
    refuse(p, options);
  };
  const auto with_options = [&](auto change) {
    LayerOptions o = options;
    change(o);
    refuse(made, o);
  };
  with_problem([](auto& p) { p.batch = 1; });
  with_problem([](auto& p) { std::swap(p.height, p.width); });
  with_problem([](auto& p) { p.labels = 2; });
  const std::vector<float> more_weights(200, 1.0f);
  with_problem([&](auto& p) { p.connectivity = 8, p.edge_weights = more_weights.data(); });
  with_options([](auto& o) { o.iterations = 2; });
  with_options([](auto& o) { o.store_every = 2; });
  with_options([](auto& o) { o.temperature = 0.5; });
  with_options([](auto& o) { o.solver = Solver::BP; });
  with_options([](auto& o) { o.solver = Solver::SGM; });

  Call blank;  // never written
  expect_error<Bad>([&] { blank.backward(made, options); }, {"tape", "layer_forward()"});
  blank.expect_untouched();
  const auto doubles = generic_instance<double>({4, 5, 3, 4, 2}, Potential::truncated_linear(2.0),
                                                Weights::PerEdge, 1);
  Memory tape(layer_tape_bytes(doubles.problem(), options));
  forward_costs(doubles, options, tape.data());
  expect_error<Bad>(
      [&] {
        layer_backward(made, options, tape.data(), blank.upstream.data(), blank.gradients(made),
                       nullptr);
      },
      {"tape", "layer_forward()"});
  blank.expect_untouched();
}

TEST(LayerErrors, InterruptionEndsTheForwardPass) {
  const auto instance = generic_instance<float>({200, 200, 16, 8}, Potential::truncated_linear(2.0),
                                                Weights::Scalar, 2);
  for (LayerSetup setup : layer_setups()) {
    SCOPED_TRACE(setup.name);
    setup.options.iterations = 1 << 20;
    setup.options.interrupted = [] { return true; };
    EXPECT_THROW(forward_costs(instance, setup.options), Interrupted);
    setup.options.interrupted = []() -> bool { throw std::runtime_error("enough"); };
    expect_error<std::runtime_error>([&] { forward_costs(instance, setup.options); }, {"enough"});
  }
}

TEST(LayerErrors, InterruptionEndsTheBackwardPass) {
  // Takes many times the interval at which the caller is asked.
  const auto instance = generic_instance<float>({200, 200, 32, 8}, Potential::truncated_linear(2.0),
                                                Weights::Scalar, 2);
  const Problem<float> problem = instance.problem();
  const std::vector<float> upstream = upstream_for(instance);
  for (const int store_every : {1, 4}) {
    LayerOptions options = layer_options(Solver::TRWP, 12);
    options.store_every = store_every;
    Memory tape(layer_tape_bytes(problem, options));
    forward_costs(instance, options, tape.data());
    options.interrupted = [] { return true; };
    Gradient<float> gradient = unwritten_gradient(instance);
    EXPECT_THROW(
        layer_backward(problem, options, tape.data(), upstream.data(), view(gradient), nullptr),
        Interrupted);
  }
}

}  // namespace
}  // namespace mrfcore::test
