// SPDX-License-Identifier: Apache-2.0
// Builds against an installed mrfcore and removes one noisy pixel from a binary image.
#include <mrfcore/mrfcore.hpp>

#include <cstdint>
#include <cstdio>
#include <vector>

int main() {
  constexpr int64_t kHeight = 5, kWidth = 6, kLabels = 2, kNoisy = 2 * kWidth + 3;
  std::vector<float> unary(kHeight * kWidth * kLabels);
  for (int64_t i = 0; i < kHeight * kWidth; ++i) {
    const int64_t seen = i == kNoisy ? 1 : 0;
    unary[static_cast<size_t>(i * kLabels + 1 - seen)] = 1.0F;
  }

  mrfcore::Problem<float> problem;
  problem.height = kHeight;
  problem.width = kWidth;
  problem.labels = kLabels;
  problem.unary = unary.data();
  problem.pairwise = mrfcore::Potential::potts();
  problem.weight = 0.5F;

  std::vector<int32_t> labels(kHeight * kWidth, -1);
  mrfcore::Options options;
  options.solver = mrfcore::Solver::TRWP;
  options.iterations = 10;
  mrfcore::Outputs<float> outputs;
  outputs.labels = labels.data();
  const double energy = mrfcore::minimize(problem, options, outputs).front().energy;

  // Keeping the noisy label would cut four edges (2.0); giving it up costs its unary (1.0).
  for (const int32_t label : labels) {
    if (label != 0) {
      std::fprintf(stderr, "a pixel kept the noisy label\n");
      return 1;
    }
  }
  if (energy != 1.0) {
    std::fprintf(stderr, "energy %g, expected 1\n", energy);
    return 1;
  }
  std::printf("mrfcore %s on %s: energy %g\n", MRFCORE_VERSION, mrfcore::cpu_isa().c_str(), energy);
  return 0;
}
