// SPDX-License-Identifier: Apache-2.0
#include "instance.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <stdexcept>

namespace mrfcore::bench {
namespace {

/// Steele, Lea & Flood's splitmix64: the same noise on every machine.
uint64_t noise(uint64_t i) {
  uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::vector<double> general_table(int64_t labels) {
  std::vector<double> values;
  for (int64_t l = 0; l < labels; ++l) {
    for (int64_t m = 0; m < labels; ++m) {
      const uint64_t extra = l == m ? 0 : noise(static_cast<uint64_t>(l * labels + m)) % 3;
      values.push_back(static_cast<double>(std::min<int64_t>(std::abs(l - m), 8)) +
                       static_cast<double>(extra));
    }
  }
  return values;
}

std::vector<float> evaluated(const Potential& pairwise, int64_t labels) {
  std::vector<float> values;
  for (int64_t l = 0; l < labels; ++l) {
    for (int64_t m = 0; m < labels; ++m) values.push_back(static_cast<float>(pairwise(l, m)));
  }
  return values;
}

}  // namespace

Instance::Instance(int64_t h, int64_t w, int64_t n) : height(h), width(w), labels(n) {
  unary.reserve(static_cast<std::size_t>(cells()));
  for (int64_t i = 0; i < height * width; ++i) {
    const int64_t plane = (labels - 1) * (width + 2 * (i % width)) / (4 * width);
    for (int64_t l = 0; l < labels; ++l) {
      const int64_t data = std::min<int64_t>(4 * std::abs(l - plane), 60);
      unary.push_back(static_cast<float>(data) +
                      static_cast<float>(noise(static_cast<uint64_t>(i * labels + l)) % 32));
    }
  }
}

Problem<float> Instance::problem(const Potential& pairwise, float weight, int connectivity) const {
  Problem<float> problem;
  problem.height = height;
  problem.width = width;
  problem.labels = labels;
  problem.connectivity = connectivity;
  problem.unary = unary.data();
  problem.pairwise = pairwise;
  problem.weight = weight;
  return problem;
}

Potential make_potential(const std::string& name, int64_t labels) {
  if (name == "table") return Potential::table(general_table(labels), labels);
  if (name == "truncated_linear") return Potential::truncated_linear(8);
  if (name == "linear") return Potential::truncated_linear();
  if (name == "potts") return Potential::potts();
  if (name == "sgm_penalty") return Potential::sgm_penalty(1, 4);
  if (name == "truncated_quadratic") return Potential::truncated_quadratic(64);
  throw std::invalid_argument("potential: unknown name " + name);
}

PlainInstance::PlainInstance(const Problem<float>& p)
    : odd_table_(evaluated(p.pairwise, p.labels)),
      even_table_(transposed(odd_table_, static_cast<std::size_t>(p.labels))),
      problem_{static_cast<std::size_t>(p.height),
               static_cast<std::size_t>(p.width),
               static_cast<std::size_t>(p.labels),
               p.connectivity,
               p.unary,
               even_table_.data(),
               odd_table_.data(),
               p.weight} {}

int64_t counted_bytes_per_cell(Solver solver, int connectivity, MessageDtype storage) {
  const int64_t d = connectivity, m = message_bytes(storage, sizeof(float));
  switch (solver) {
    case Solver::SGM:  // a pair reads theta, updates the sum; then theta := sum / D, sum := 0
      return 6 * d + 12;
    case Solver::ISGMR:  // a pair reads the sum, updates two messages; then theta + all messages
      return (2 + 2 * m) * d + m * d + 8;
    case Solver::TRWP:
    case Solver::BP:
      return (4 + 2 * m) * d;
    case Solver::TRWS:  // each of two passes reads theta and all messages, writes half of them
      return 2 * (4 + 3 * m / 2 * d);
    case Solver::MeanField:  // theta and the neighbours' beliefs read (once: rows stay in cache),
      return 12;             // new beliefs written
    case Solver::ICM:        // theta
      return 4;
    default:
      throw std::invalid_argument("solver: its bytes have not been counted");
  }
}

double convolution_operations_per_cell(const Potential& v, int64_t labels, int connectivity) {
  const auto d = static_cast<double>(connectivity);
  const auto doublings = [&](double reach) {
    return static_cast<double>(std::bit_width(static_cast<uint64_t>(reach - 1)));
  };
  const auto n = static_cast<double>(labels);
  switch (v.kind()) {
    case PotentialKind::Potts:  // row minimum, cap
      return 2 * d;
    case PotentialKind::SGMPenalty:  // and both neighbours plus P1
      return 5 * d;
    case PotentialKind::TruncatedLinear:  // three operations a doubling; row minimum, cap
      return (3 * doublings(std::min(v.a(), n)) + 2) * d;
    case PotentialKind::TruncatedQuadratic: {  // a shift to both sides: two minima, a sum; row
      // minimum, cap, own label; shifts as far as the truncation is not reached
      const double band = std::min(std::ceil(std::sqrt(v.a())) - 1, n - 1);
      return (3 * band + 3) * d;
    }
    case PotentialKind::Table:  // one addition and one minimum per pair of labels
      return 2 * n * d;
    default:
      throw std::invalid_argument("pairwise: its operations have not been counted");
  }
}

Work work_per_cell(Solver solver, const Potential& pairwise, int64_t labels, int connectivity) {
  if (solver == Solver::ICM) return {connectivity + 1.0, 0.0};
  if (solver != Solver::MeanField) {
    return {convolution_operations_per_cell(pairwise, labels, connectivity), 0.0};
  }
  bool symmetric = true;
  for (int64_t l = 0; l < labels; ++l) {
    for (int64_t m = 0; m < l; ++m) symmetric = symmetric && pairwise(l, m) == pairwise(m, l);
  }
  return {0.0, static_cast<double>(symmetric ? labels : 2 * labels)};
}

double plain_operations_per_cell(Solver solver, int64_t labels, int connectivity) {
  const double d = connectivity;
  const double pairs = d * static_cast<double>(labels);
  const double convolution = 3;  // w V, added, minimum
  switch (solver) {
    case Solver::SGM:
      return pairs * convolution;
    case Solver::ISGMR:  // theta + own + D - 2 others
      return pairs * (d - 1 + convolution);
    case Solver::TRWP:  // theta + D messages, rho, minus the opposite one
    case Solver::BP:
      return pairs * (d + 2 + convolution);
    case Solver::TRWS:  // gamma, minus the opposite one; theta + D messages once in either pass
      return pairs * (2 + convolution) + 2 * d;
    case Solver::MeanField:  // w V Q, added
      return pairs * 3;
    case Solver::ICM:  // w V, added
      return 2 * d;
    default:
      throw std::invalid_argument("solver: there is no plain loop of it");
  }
}

namespace {

Elapsed now() {
  const auto wall = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration<double>(wall).count(),
          static_cast<double>(std::clock()) / CLOCKS_PER_SEC};
}

}  // namespace

Stopwatch::Stopwatch() : start_(now()) {}

Elapsed Stopwatch::elapsed() const {
  const Elapsed end = now();
  return {end.wall - start_.wall, end.cpu - start_.cpu};
}

Elapsed time_of(const Problem<float>& problem, Options options, int iterations,
                std::vector<int32_t>& labels) {
  labels.resize(static_cast<std::size_t>(problem.pixels()));
  options.iterations = iterations;
  const Stopwatch watch;
  minimize(problem, options, {labels.data(), nullptr});
  return watch.elapsed();
}

}  // namespace mrfcore::bench
