// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <vector>

#include "counts.hpp"
#include "instance.hpp"
#include "mrfcore/cost_volume.hpp"
#include "mrfcore/layer.hpp"

namespace mrfcore::bench {
namespace {

constexpr int64_t kHeight = 48, kWidth = 96;
constexpr float kWeight = 10.0f;

/// A problem of its own for every piece of work; shared, because std::function copies.
struct Input {
  Instance instance;
  Problem<float> problem;

  Input(const char* potential, int64_t labels, int connectivity)
      : instance(kHeight, kWidth, labels),
        problem(instance.problem(make_potential(potential, labels), kWeight, connectivity)) {}
};

std::shared_ptr<Input> input(const char* potential, int64_t labels, int connectivity = 4) {
  return std::make_shared<Input>(potential, labels, connectivity);
}

/// Two iterations through the public interface, labels alone.
CountedWork solver(const std::string& name, Solver which, const char* potential, int64_t labels,
                   int connectivity = 4, bool bound = false) {
  Options options;
  options.solver = which;
  options.iterations = 2;
  options.polish = options.coarse = 0;
  options.threads = 1;
  options.lower_bound = bound;
  return {name + "/" + potential + "/" + std::to_string(labels) + "/" +
              std::to_string(connectivity) + (bound ? "/bound" : ""),
          [options, in = input(potential, labels, connectivity),
           found = std::vector<int32_t>(static_cast<size_t>(kHeight * kWidth))]() mutable {
            minimize<float>(in->problem, options, {.labels = found.data()});
          }};
}

/// Forward with tape and backward with all gradients, two iterations.
CountedWork layer(const char* potential, int64_t labels, double temperature) {
  LayerOptions options;
  options.iterations = 2;
  options.threads = 1;
  options.temperature = temperature;
  const auto in = input(potential, labels);
  const auto bytes = [](int64_t n) { return std::vector<std::byte>(static_cast<size_t>(n)); };
  auto tape = bytes(layer_tape_bytes(in->problem, options));
  auto workspace = bytes(std::max(layer_workspace_bytes(in->problem, options, false),
                                  layer_workspace_bytes(in->problem, options, true)));
  const auto cells = static_cast<size_t>(in->instance.cells());
  std::vector<float> costs(cells), grad(cells, 1.0f), grad_unary(cells);
  return {std::string(temperature > 0 ? "soft_layer/" : "layer/") + potential + "/" +
              std::to_string(labels),
          [=]() mutable {
            float grad_weight = 0.0f;
            layer_forward(in->problem, options, costs.data(), tape.data(), workspace.data());
            layer_backward(in->problem, options, tape.data(), grad.data(),
                           {.unary = grad_unary.data(), .weight = &grad_weight}, workspace.data());
          }};
}

CountedWork energy_of_labels() {
  const auto in = input("truncated_linear", 32, 8);
  return {"energy", [in, labels = std::vector<int32_t>(static_cast<size_t>(kHeight * kWidth), 3)] {
            energy<float>(in->problem, labels.data(), 1);
          }};
}

CountedWork matching_costs(const char* name, StereoCost cost) {
  constexpr int64_t kDisparities = 32, kChannels = 3;
  std::vector<uint8_t> pixels(static_cast<size_t>(kHeight * kWidth * kChannels));
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * i * 31 >> 7);
  return {std::string("cost_volume/") + name, [=, out = std::vector<float>(static_cast<size_t>(
                                                      kHeight * kWidth * kDisparities))]() mutable {
            const ImageView view{pixels.data(), PixelType::UInt8, kHeight, kWidth, kChannels};
            cost_volume(view, view, {.cost = cost, .num_disparities = kDisparities, .threads = 1},
                        out.data());
          }};
}

}  // namespace

std::vector<CountedWork> counted_solvers() {
  return {solver("trwp", Solver::TRWP, "truncated_linear", 16),
          solver("trwp", Solver::TRWP, "truncated_linear", 96),
          solver("trwp", Solver::TRWP, "truncated_quadratic", 32),
          solver("trwp", Solver::TRWP, "potts", 32),
          solver("trwp", Solver::TRWP, "table", 32),
          solver("trwp", Solver::TRWP, "truncated_linear", 32, 16),
          solver("trwp", Solver::TRWP, "truncated_linear", 32, 4, true),
          solver("isgmr", Solver::ISGMR, "truncated_linear", 32),
          solver("bp", Solver::BP, "truncated_linear", 32),
          solver("sgm", Solver::SGM, "sgm_penalty", 64, 8),
          solver("trws", Solver::TRWS, "truncated_linear", 32),
          solver("trws", Solver::TRWS, "table", 32),
          solver("mean_field", Solver::MeanField, "potts", 32),
          solver("icm", Solver::ICM, "truncated_linear", 32),
          layer("truncated_linear", 32, 0.0),
          layer("table", 32, 0.0),
          layer("truncated_linear", 32, 1.0),
          energy_of_labels(),
          matching_costs("birchfield_tomasi", StereoCost::BirchfieldTomasi),
          matching_costs("census", StereoCost::Census)};
}

}  // namespace mrfcore::bench
