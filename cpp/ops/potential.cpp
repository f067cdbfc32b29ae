// SPDX-License-Identifier: Apache-2.0
#include "mrfcore/potential.hpp"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/potential_value.hpp"

namespace mrfcore {
namespace {

/// Beyond this a weighted sum of a few terms leaves the range of float32.
constexpr double kLargest = 1e12;  // times weights below 1e12: far from float's forbidden 1e30

void require(bool good, const char* what, const char* expected, double got) {
  if (!good)
    throw std::invalid_argument(std::string(what) + ": expected " + expected + ", got " +
                                std::to_string(got));
}

}  // namespace

Potential Potential::potts() { return {}; }

Potential Potential::truncated_linear(double truncation) {
  require(truncation >= 0.0 && (truncation < kLargest || std::isinf(truncation)), "truncation",
          "a number in [0, 1e12) or infinity", truncation);
  Potential p;
  p.kind_ = PotentialKind::TruncatedLinear;
  p.a_ = truncation;
  return p;
}

Potential Potential::truncated_quadratic(double truncation) {
  require(truncation >= 0.0 && (truncation < kLargest || std::isinf(truncation)), "truncation",
          "a number in [0, 1e12) or infinity", truncation);
  Potential p;
  p.kind_ = PotentialKind::TruncatedQuadratic;
  p.a_ = truncation;
  return p;
}

Potential Potential::sgm_penalty(double p1, double p2) {
  require(p1 >= 0.0 && p1 < kLargest, "p1", "a number in [0, 1e12)", p1);
  require(p2 >= p1 && p2 < kLargest, "p2", "a finite number >= p1", p2);
  Potential p;
  p.kind_ = PotentialKind::SGMPenalty;
  p.a_ = p1;
  p.b_ = p2;
  return p;
}

Potential Potential::huber(double delta) {
  require(delta > 0.0 && delta < kLargest, "delta", "a number in (0, 1e12)", delta);
  Potential p;
  p.kind_ = PotentialKind::Huber;
  p.a_ = delta;
  return p;
}

Potential Potential::cauchy(double scale) {
  require(scale >= 1e-6 && scale <= 1e6, "scale", "a number in [1e-6, 1e6]", scale);
  Potential p;
  p.kind_ = PotentialKind::Cauchy;
  p.a_ = scale;
  return p;
}

Potential Potential::table(std::vector<double> values, int64_t labels) {
  if (labels < 1 || static_cast<int64_t>(values.size()) != labels * labels) {
    throw std::invalid_argument("V: expected a square table [L, L] with L >= 1, got " +
                                std::to_string(values.size()) +
                                " values for L = " + std::to_string(labels));
  }
  Potential p;
  p.kind_ = PotentialKind::Table;
  p.labels_ = labels;
  for (int64_t l = 0; l < labels; ++l) {
    for (int64_t m = 0; m < labels; ++m) {
      const double v = values[static_cast<size_t>(l * labels + m)];
      if (!(std::fabs(v) < kLargest)) {
        throw std::invalid_argument("V: expected finite values below 1e12 in magnitude, got " +
                                    std::to_string(v) + " at [" + std::to_string(l) + ", " +
                                    std::to_string(m) +
                                    "]; forbid a pair of labels with a large finite cost");
      }
      if (v != values[static_cast<size_t>(m * labels + l)]) p.symmetric_ = false;
    }
  }
  p.values_ = std::move(values);
  return p;
}

double Potential::operator()(int64_t l, int64_t m) const {
  if (kind_ == PotentialKind::Table) return values_[static_cast<size_t>(l * labels_ + m)];
  return core::difference_value(kind_, a_, b_, static_cast<double>(l > m ? l - m : m - l));
}

}  // namespace mrfcore
