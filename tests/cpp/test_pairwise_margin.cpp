// SPDX-License-Identifier: Apache-2.0
// The pairwise margin loss against plain loops over all pairs (Eq 5.2), and differences.
#include "mrfcore/pairwise_margin.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "instances.hpp"

namespace mrfcore::test {
namespace {

constexpr int64_t kDims = 7, kPoints = 150;

struct MarginProblem {
  std::vector<double> x;
  std::vector<int64_t> labels;
  std::vector<double> weights;
};

MarginProblem random_problem() {
  std::mt19937 engine(3);
  std::normal_distribution<double> normal;
  MarginProblem p;
  for (int64_t n = 0; n < kDims * kPoints; ++n) p.x.push_back(normal(engine));
  for (int64_t n = 0; n < kPoints; ++n) {
    p.labels.push_back(static_cast<int64_t>(engine() % 4) * 1000000007 - 5);
    p.weights.push_back(n % 11 == 0 ? 0.0 : 0.1 + 0.01 * static_cast<double>(n % 7));
  }
  return p;
}

double plain_loss(const MarginProblem& p, const PairwiseMarginOptions& options) {
  const auto product = [&p](size_t i, size_t j) {
    double sum = 0;
    for (size_t d = 0; d < kDims; ++d) sum += p.x[d * kPoints + i] * p.x[d * kPoints + j];
    return sum;
  };
  double loss = 0;
  for (size_t i = 0; i < kPoints; ++i) {
    for (size_t j = 0; j < kPoints; ++j) {
      if (i == j) continue;
      const double s = 0.5 + 0.5 * product(i, j) / std::sqrt(product(i, i) * product(j, j));
      const double cost = p.labels[i] == p.labels[j]
                              ? 1 - s
                              : options.neg_weight * std::max(0.0, s - options.alpha);
      loss += p.weights[i] * p.weights[j] * cost;
    }
  }
  return loss;
}

double loss_of(const MarginProblem& p, const PairwiseMarginOptions& options,
               std::vector<double>* grad = nullptr) {
  double loss = 0;
  if (grad != nullptr) grad->assign(p.x.size(), 9.0);
  pairwise_margin_loss<double>(p.x.data(), p.labels.data(), p.weights.data(), 1, kDims, kPoints,
                               options, &loss, grad ? grad->data() : nullptr);
  return loss;
}

TEST(PairwiseMargin, IsThePlainLoops) {
  const MarginProblem p = random_problem();
  for (const double alpha : {0.0, 0.5, 0.9}) {
    PairwiseMarginOptions options;
    options.alpha = alpha;
    options.neg_weight = 2.5;
    const double plain = plain_loss(p, options);
    EXPECT_NEAR(loss_of(p, options), plain, 1e-11 * plain);
  }
}

TEST(PairwiseMargin, GradientIsDifferences) {
  MarginProblem p = random_problem();
  PairwiseMarginOptions options;
  options.threads = 1;
  std::vector<double> grad;
  loss_of(p, options, &grad);
  for (size_t n = 0; n < p.x.size(); n += 13) {
    const double before = p.x[n];
    p.x[n] = before + 1e-6;
    const double up = loss_of(p, options);
    p.x[n] = before - 1e-6;
    const double down = loss_of(p, options);
    p.x[n] = before;
    EXPECT_NEAR(grad[n], (up - down) / 2e-6, 1e-6);
  }
}

TEST(PairwiseMargin, SameBits) {
  const MarginProblem p = random_problem();
  PairwiseMarginOptions options;
  options.threads = 1;
  const ScopedEnv baseline("MRFCORE_CPU_ISA", "baseline");
  std::vector<double> expected, grad;
  const double loss = loss_of(p, options, &expected);
  for (const std::string& isa : usable_isas()) {
    const ScopedEnv env("MRFCORE_CPU_ISA", isa);
    for (const int threads : {1, 3}) {
      options.threads = threads;
      EXPECT_EQ(loss_of(p, options, &grad), loss);
      EXPECT_EQ(grad, expected);
    }
  }
}

TEST(PairwiseMargin, ErrorsNameTheArgument) {
  MarginProblem p = random_problem();
  PairwiseMarginOptions options;
  options.alpha = 2;
  expect_error<std::invalid_argument>([&] { loss_of(p, options); }, {"alpha is 2"});
  options.alpha = 0.5;
  options.neg_weight = -1;
  expect_error<std::invalid_argument>([&] { loss_of(p, options); }, {"neg_weight is -1"});
  options.neg_weight = 1;
  p.weights[4] = -1;
  expect_error<std::invalid_argument>([&] { loss_of(p, options); }, {"weights is -1", "point 4"});
  p = random_problem();
  p.x[5] = std::nan("");
  expect_error<std::invalid_argument>([&] { loss_of(p, options); }, {"x is nan", "point 5"});
}

}  // namespace
}  // namespace mrfcore::test
