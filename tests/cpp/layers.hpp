// SPDX-License-Identifier: Apache-2.0
// How to run a layer forward and back, and what its gradients have to be: differences of its costs.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "instances.hpp"

namespace mrfcore::test {

inline constexpr Solver kLayerSolvers[] = {Solver::SGM, Solver::ISGMR, Solver::TRWP, Solver::BP,
                                           Solver::MeanField};
inline constexpr Solver kSoftSolvers[] = {Solver::ISGMR, Solver::TRWP, Solver::BP};

inline LayerOptions layer_options(Solver solver, int iterations) {
  LayerOptions o;
  o.solver = solver;
  o.iterations = iterations;
  o.threads = 1;
  return o;
}

struct LayerSetup {
  std::string name;
  LayerOptions options;

  bool smooth() const { return options.solver == Solver::MeanField || options.temperature > 0.0; }
};

/// Every option of every solver at least once.
inline std::vector<LayerSetup> layer_setups() {
  std::vector<LayerSetup> setups;
  const auto add = [&](const char* name, Solver solver, int iterations, auto change) {
    setups.push_back({name, layer_options(solver, iterations)});
    change(setups.back().options);
  };
  const auto as_is = [](LayerOptions&) {};
  const auto damped = [](LayerOptions& o) { o.damping = 0.375; };
  const auto soft = [](LayerOptions& o) { o.temperature = 0.3; };
  const auto soft_damped = [](LayerOptions& o) { o.temperature = 0.5, o.damping = 0.25; };
  add("SGM", Solver::SGM, 1, as_is);
  add("SGM, iterated", Solver::SGM, 3, as_is);
  add("SGM, head zero", Solver::SGM, 2, [](LayerOptions& o) { o.head = SGMHead::Zero; });
  add("ISGMR", Solver::ISGMR, 3, as_is);
  add("ISGMR, damped", Solver::ISGMR, 3, damped);
  add("ISGMR, soft", Solver::ISGMR, 2, soft);
  add("ISGMR, soft, damped", Solver::ISGMR, 3, soft_damped);
  add("TRWP", Solver::TRWP, 3, as_is);
  add("TRWP, rho", Solver::TRWP, 2, [](LayerOptions& o) { o.rho = 0.7; });
  add("TRWP, damped", Solver::TRWP, 3, damped);
  add("TRWP, soft", Solver::TRWP, 2, soft);
  add("TRWP, soft, damped", Solver::TRWP, 3, soft_damped);
  add("BP", Solver::BP, 2, as_is);
  add("BP, soft", Solver::BP, 2, soft);
  add("mean field", Solver::MeanField, 3, as_is);
  add("mean field, normalised", Solver::MeanField, 3,
      [](LayerOptions& o) { o.normalise_directions = true; });
  return setups;
}

/// Numbers in [low, high) with all their digits, so that no two minima tie.
template <class T>
std::vector<T> generic_array(int64_t size, double low, double high, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<T> values(static_cast<size_t>(size));
  for (T& v : values)
    v = static_cast<T>(low + (high - low) * (static_cast<double>(engine()) * 0x1p-32));
  return values;
}

/// An instance at a generic point: no costs tie, no weight vanishes.
template <class T>
Instance<T> generic_instance(const Shape& shape, const Potential& pairwise, Weights weights,
                             uint32_t seed) {
  Instance<T> instance{shape, pairwise, T(0.7321), {}, {}};
  instance.unary = generic_array<T>(shape.pixels() * shape.labels, 0.0, 4.0, seed);
  if (weights == Weights::PerEdge)
    instance.edge_weights =
        generic_array<T>(instance.weights_size() * shape.batch, 0.2, 1.2, seed + 1000);
  return instance;
}

inline Potential generic_table(int64_t labels, uint32_t seed) {
  return Potential::table(generic_array<double>(labels * labels, -0.2, 2.0, seed), labels);
}

/// Memory of exactly the size promised, at `misalignment` bytes past a multiple of 64. Without
/// AddressSanitizer a strip behind it shows writing too far.
class Memory {
 public:
  explicit Memory(int64_t bytes, size_t misalignment = 0)
      : bytes_(static_cast<size_t>(bytes)),
        block_(static_cast<std::byte*>(
            ::operator new(misalignment + bytes_ + kGuard, std::align_val_t{kAlignment}))),
        data_(block_ + misalignment) {
    std::memset(block_, 0xff, misalignment + bytes_ + kGuard);
  }
  ~Memory() { ::operator delete(block_, std::align_val_t{kAlignment}); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::byte* data() { return data_; }
  void expect_guard_untouched() const {
    for (size_t i = 0; i < kGuard; ++i) {
      ASSERT_EQ(data_[bytes_ + i], std::byte{0xff}) << "written " << i << " bytes past the end";
    }
  }

 private:
  static constexpr size_t kAlignment = 64;
#ifdef __SANITIZE_ADDRESS__
  static constexpr size_t kGuard = 0;
#else
  static constexpr size_t kGuard = 256;
#endif
  size_t bytes_;
  std::byte* block_;
  std::byte* data_;
};

/// Which gradients to ask for; those of weights that the problem does not have are left out.
struct Wanted {
  bool unary = true, weights = true, table = true;
};

template <class T>
struct Gradient {
  std::vector<T> unary, edge_weights, weight, table;
  bool operator==(const Gradient&) const = default;
};

/// NaN everywhere: what backward() leaves unwritten shows.
template <class T>
Gradient<T> unwritten_gradient(const Instance<T>& instance, const Wanted& wanted = {}) {
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
  const auto labels = static_cast<size_t>(instance.shape.labels);
  Gradient<T> g;
  if (wanted.unary) g.unary.assign(instance.unary.size(), kNan);
  if (wanted.weights) {
    g.edge_weights.assign(instance.edge_weights.size(), kNan);
    g.weight.assign(instance.edge_weights.empty() ? 1 : 0, kNan);
  }
  if (wanted.table) g.table.assign(labels * labels, kNan);
  return g;
}

template <class T>
Gradients<T> view(Gradient<T>& g) {
  const auto pointer = [](std::vector<T>& v) { return v.empty() ? nullptr : v.data(); };
  return {pointer(g.unary), pointer(g.edge_weights), pointer(g.weight), pointer(g.table)};
}

/// d loss / d costs, another number in every entry: loss = sum of upstream * costs.
template <class T>
std::vector<T> upstream_for(const Instance<T>& instance) {
  return generic_array<T>(static_cast<int64_t>(instance.unary.size()), -1.0, 1.0, 7);
}

template <class T>
std::vector<T> forward_costs(const Instance<T>& instance, const LayerOptions& options,
                             void* tape = nullptr) {
  std::vector<T> costs(instance.unary.size(), T(-7));
  layer_forward(instance.problem(), options, costs.data(), tape, nullptr);
  return costs;
}

template <class T>
struct Pass {
  std::vector<T> costs;
  Gradient<T> gradient;
};

/// Forward and backward with tape and workspaces of the sizes that the layer asks for, neither of
/// them aligned better than it has to be.
template <class T>
Pass<T> forward_and_back(const Instance<T>& instance, const LayerOptions& options,
                         const Wanted& wanted = {}) {
  const Problem<T> problem = instance.problem();
  Pass<T> pass{std::vector<T>(instance.unary.size(), std::numeric_limits<T>::quiet_NaN()),
               unwritten_gradient(instance, wanted)};
  Memory tape(layer_tape_bytes(problem, options), 8);
  {
    Memory workspace(layer_workspace_bytes(problem, options, false), 1);
    layer_forward(problem, options, pass.costs.data(), tape.data(), workspace.data());
    workspace.expect_guard_untouched();
  }
  tape.expect_guard_untouched();
  Memory workspace(layer_workspace_bytes(problem, options, true), 1);
  const std::vector<T> upstream = upstream_for(instance);
  layer_backward(problem, options, tape.data(), upstream.data(), view(pass.gradient),
                 workspace.data());
  workspace.expect_guard_untouched();
  tape.expect_guard_untouched();
  return pass;
}

// ------------------------------------------------------------------ differences

/// Moves an instance by `step`.
using Move = std::function<void(Instance<double>&, double step)>;

/// d loss / d step at 0 by a central difference, of the costs one by one: the loss would round.
inline double difference(const Instance<double>& instance, const LayerOptions& options,
                         const Move& move, double step) {
  std::vector<double> costs[2];
  for (const int side : {0, 1}) {
    Instance<double> moved = instance;
    move(moved, side == 0 ? step : -step);
    costs[side] = forward_costs(moved, options);
  }
  const std::vector<double> upstream = upstream_for(instance);
  double total = 0.0;
  for (size_t i = 0; i < upstream.size(); ++i)
    total += upstream[i] * (costs[0][i] - costs[1][i]) / (2.0 * step);
  return total;
}

/// Hard layers are linear between kinks: a short step meets none, and has no other error.
inline double step_for(const LayerSetup& setup) { return setup.smooth() ? 0x1p-18 : 0x1p-24; }

/// V as a table, moved by step * direction.
inline void move_table(Instance<double>& instance, const std::vector<double>& direction,
                       double step) {
  const int64_t labels = instance.shape.labels;
  std::vector<double> values;
  for (int64_t i = 0; i < labels * labels; ++i) {
    values.push_back(instance.pairwise(i / labels, i % labels) +
                     step * direction[static_cast<size_t>(i)]);
  }
  instance.pairwise = Potential::table(std::move(values), labels);
}

}  // namespace mrfcore::test
