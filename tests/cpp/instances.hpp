// SPDX-License-Identifier: Apache-2.0
// Random problems that own their arrays, how to run a solver on them, and how to compare.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "mrfcore/mrfcore.hpp"
#include "plain_solvers.hpp"

namespace mrfcore::test {

struct Shape {
  int64_t height, width, labels;
  int connectivity = 4;
  int64_t batch = 1;

  int64_t pixels() const { return batch * height * width; }
  std::string text() const {
    return std::to_string(batch) + "x" + std::to_string(height) + "x" + std::to_string(width) +
           "x" + std::to_string(labels) + ", " + std::to_string(connectivity) + "-connected";
  }
};

enum class Weights { Scalar, PerEdge };

/// A problem and its memory.
template <class T>
struct Instance {
  Shape shape;
  Potential pairwise = Potential::potts();
  T weight = T(1);
  std::vector<T> unary;
  std::vector<T> edge_weights;  ///< empty: the scalar; one [P, H, W], or one per item

  Problem<T> problem() const {
    Problem<T> p;
    p.batch = shape.batch;
    p.height = shape.height;
    p.width = shape.width;
    p.labels = shape.labels;
    p.connectivity = shape.connectivity;
    p.unary = unary.data();
    p.pairwise = pairwise;
    p.weight = weight;
    p.edge_weights = edge_weights.empty() ? nullptr : edge_weights.data();
    p.edge_weights_batch_stride = weights_stride();
    return p;
  }

  /// The same problem for the plain solvers.
  plain::Grid grid(int64_t item = 0) const {
    plain::Grid g;
    g.height = static_cast<int>(shape.height);
    g.width = static_cast<int>(shape.width);
    g.labels = static_cast<int>(shape.labels);
    g.connectivity = shape.connectivity;
    const int64_t size = shape.height * shape.width * shape.labels;
    g.unary.assign(unary.begin() + item * size, unary.begin() + (item + 1) * size);
    for (int64_t l = 0; l < shape.labels; ++l) {
      for (int64_t m = 0; m < shape.labels; ++m) g.table.push_back(pairwise(l, m));
    }
    const auto from = edge_weights.begin() + item * weights_stride();
    if (edge_weights.empty()) {
      g.weights.assign(static_cast<size_t>(weights_size()), static_cast<double>(weight));
    } else {
      g.weights.assign(from, from + weights_size());
    }
    return g;
  }

  int64_t weights_size() const { return shape.connectivity / 2 * shape.height * shape.width; }

 private:
  int64_t weights_stride() const {
    return static_cast<int64_t>(edge_weights.size()) > weights_size() ? weights_size() : 0;
  }
};

/// Uniform multiples of `grain` in [0, range): exact in float, and the same on every machine.
class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  double uniform(double range, double grain) {
    return grain * static_cast<double>(engine_() % static_cast<uint32_t>(range / grain));
  }
  template <class T>
  std::vector<T> array(int64_t size, double range, double grain) {
    std::vector<T> values(static_cast<size_t>(size));
    for (T& v : values) v = static_cast<T>(uniform(range, grain));
    return values;
  }

 private:
  std::mt19937 engine_;
};

inline constexpr double kFine = 1.0 / 1024;  ///< ties become unlikely

/// Unaries in [0, 8); edge weights in [0, 2) or the scalar 0.75.
template <class T>
Instance<T> random_instance(const Shape& shape, const Potential& pairwise, Weights weights,
                            uint32_t seed, double grain = kFine) {
  Random random(seed);
  Instance<T> instance{shape, pairwise, T(0.75), {}, {}};
  instance.unary = random.array<T>(shape.pixels() * shape.labels, 8.0, grain);
  if (grain >= 1.0) instance.weight = T(1);
  if (weights == Weights::PerEdge) {
    instance.edge_weights =
        random.array<T>(instance.weights_size() * shape.batch, grain >= 1.0 ? 3.0 : 2.0, grain);
  }
  return instance;
}

/// An asymmetric table without structure, entries in [0, 4).
inline Potential random_table(int64_t labels, uint32_t seed, double grain = kFine) {
  return Potential::table(Random(seed).array<double>(labels * labels, 4.0, grain), labels);
}

inline constexpr int kPotentials = 8;

/// One of each kind; which parameters make sense depends on L.
inline Potential some_potential(int index, int64_t labels) {
  switch (index % kPotentials) {
    case 0:
      return Potential::potts();
    case 1:
      return Potential::truncated_linear(2.0);
    case 2:
      return Potential::truncated_linear();
    case 3:
      return Potential::truncated_quadratic(9.0);
    case 4:
      return Potential::sgm_penalty(0.5, 1.75);
    case 5:
      return Potential::huber(1.5);
    case 6:
      return Potential::cauchy(1.25);
    default:
      return random_table(labels, 99);
  }
}

inline const char* potential_name(const Potential& p) {
  constexpr const char* kNames[] = {
      "Potts", "TruncatedLinear", "TruncatedQuadratic", "SGMPenalty", "Huber", "Cauchy", "Table"};
  return kNames[static_cast<int>(p.kind())];
}

template <class T>
struct Outcome {
  std::vector<int32_t> labels;
  std::vector<T> costs;
  std::vector<ItemReport> reports;

  const ItemReport& report() const { return reports.at(0); }
};

template <class T>
Outcome<T> run(const Instance<T>& instance, const Options& options) {
  Outcome<T> r;
  r.labels.assign(static_cast<size_t>(instance.shape.pixels()), -1);
  r.costs.assign(instance.unary.size(), T(-1));
  r.reports = minimize(instance.problem(), options, Outputs<T>{r.labels.data(), r.costs.data()});
  return r;
}

/// Messages start from zero, labels are what they say: what the plain solvers do.
inline Options options_for(Solver solver, int iterations) {
  Options o;
  o.solver = solver;
  o.iterations = iterations;
  o.threads = 1;
  o.polish = 0;
  o.coarse = 0;
  return o;
}

inline constexpr Solver kGridSolvers[] = {Solver::SGM,  Solver::ISGMR,     Solver::TRWP, Solver::BP,
                                          Solver::TRWS, Solver::MeanField, Solver::ICM};

inline const char* solver_name(Solver solver) {
  constexpr const char* kNames[] = {"SGM",  "ISGMR",     "TRWP", "BP",
                                    "TRWS", "MeanField", "ICM",  "Chain"};
  return kNames[static_cast<int>(solver)];
}

/// Every shape the solvers must get right, in all connectivities, with every potential and both
/// kinds of weights: visit(instance, description).
template <class T, class Visit>
void for_each_instance(const Visit& visit) {
  constexpr int64_t kSizes[][2] = {{1, 1}, {1, 7}, {7, 1}, {2, 3}, {5, 9}, {13, 17}};
  constexpr int64_t kLabels[] = {5, 2, 1, 9, 3, 17, 4};
  uint32_t seed = 1;
  for (const auto& [height, width] : kSizes) {
    for (const int connectivity : {4, 8, 16}) {
      for (int index = 0; index < kPotentials; ++index, ++seed) {
        const Shape shape{height, width, kLabels[seed % std::size(kLabels)], connectivity};
        const Weights weights = seed / 3 % 2 == 0 ? Weights::Scalar : Weights::PerEdge;
        const Potential pairwise = some_potential(index, shape.labels);
        const std::string what = shape.text() + ", " + potential_name(pairwise) +
                                 (weights == Weights::Scalar ? ", scalar" : ", per-edge") +
                                 " weights, seed " + std::to_string(seed);
        SCOPED_TRACE(what);
        visit(random_instance<T>(shape, pairwise, weights, seed));
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

/// Relative to the size of the numbers at hand; several iterations of rounding included.
template <class T>
inline constexpr double kTolerance = sizeof(T) == 4 ? 2e-5 : 1e-12;

template <class T>
void expect_close(const std::vector<T>& got, const std::vector<double>& expected, const char* what,
                  double tolerance = kTolerance<T>) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  double largest = 1.0;
  for (const double e : expected) largest = std::max(largest, std::fabs(e));
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(got[i]), expected[i], tolerance * largest)
        << what << " at " << i;
  }
}

/// A finished run against the plain solver's answer: labels, costs, energy.
template <class T>
void expect_solution(const Instance<T>& instance, const Outcome<T>& got,
                     const plain::Solution& expected) {
  expect_close(got.costs, expected.costs, "costs");
  ASSERT_EQ(got.labels, expected.labels);
  const double energy = plain::energy(instance.grid(), expected.labels);
  ASSERT_NEAR(got.report().energy, energy, 1e-12 * std::max(1.0, std::fabs(energy)));
}

/// Sets an environment variable for the life of the object.
class ScopedEnv {
 public:
  ScopedEnv(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~ScopedEnv() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  ScopedEnv(const ScopedEnv&) = delete;
  ScopedEnv& operator=(const ScopedEnv&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// Instruction sets that this build and this machine have.
inline std::vector<std::string> usable_isas() {
  std::vector<std::string> usable;
  for (const char* name : {"baseline", "avx2", "avx512"}) {
    const ScopedEnv env("MRFCORE_CPU_ISA", name);
    try {
      usable.push_back(cpu_isa());
    } catch (const std::invalid_argument&) {
    }
  }
  return usable;
}

/// call() must throw Error with all `parts` in its message.
template <class Error, class Call>
void expect_error(const Call& call, std::initializer_list<const char*> parts) {
  try {
    call();
  } catch (const Error& error) {
    for (const char* part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "'" << part << "' is not in: " << error.what();
    }
    return;
  }
  ADD_FAILURE() << "nothing was thrown; expected a message with " << *parts.begin();
}

}  // namespace mrfcore::test
