// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/directions.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/item.hpp"

namespace mrfcore {
namespace {

/// V of a given table.
struct TableValues {
  const double* values;
  int64_t labels;
  double operator()(int64_t l, int64_t m) const { return values[l * labels + m]; }
};

/// Any other V: looked up, since an edge would take longer to compute than to load.
struct DifferenceValues {
  std::vector<double> values;
  explicit DifferenceValues(const Potential& v, int64_t labels) {
    for (int64_t d = 0; d < labels; ++d) values.push_back(v(0, d));
  }
  double operator()(int64_t l, int64_t m) const {
    return values[static_cast<size_t>(std::abs(l - m))];
  }
};

/// Unaries of row y and the edges its pixels own, in raster order.
template <class T, class V>
double row_energy(const Problem<T>& p, const V& pairwise, const T* unary,
                  const cpu::EdgeWeightView<T>& weights, const int32_t* labels, int64_t y) {
  double unaries = 0.0, edges = 0.0;
  for (int64_t x = 0; x < p.width; ++x) {
    const int64_t i = y * p.width + x;
    unaries += static_cast<double>(unary[i * p.labels + labels[i]]);
  }
  for (int64_t pair = 0; pair < p.pairs(); ++pair) {
    const core::Direction d = core::direction(2 * static_cast<int>(pair));
    if (y + d.dy >= p.height) continue;
    const int64_t begin = d.dx < 0 ? -d.dx : 0;
    const int64_t end = d.dx > 0 ? p.width - d.dx : p.width;
    double sum = 0.0;
    for (int64_t x = begin; x < end; ++x) {
      const int64_t i = y * p.width + x;
      const double v = pairwise(labels[i], labels[i + d.dy * p.width + d.dx]);
      sum += weights.per_edge == nullptr
                 ? v
                 : v * static_cast<double>(weights.per_edge[pair * p.pixels() + i]);
    }
    edges += sum;
  }
  return unaries + edges * static_cast<double>(weights.scale);
}

template <class T, class V>
double energy_with(const Problem<T>& p, const V& pairwise, int64_t item, const int32_t* labels,
                   int threads) {
  const T* unary = p.unary + item * p.pixels() * p.labels;
  const cpu::EdgeWeightView<T> weights = item_weights(p, item);
  std::vector<double> rows(static_cast<size_t>(p.height));
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t y = 0; y < p.height; ++y)
    rows[static_cast<size_t>(y)] = row_energy(p, pairwise, unary, weights, labels, y);
  double total = 0.0;
  for (const double row : rows) total += row;  // in order: the same bits for any number of threads
  return total;
}

}  // namespace

template <class T>
double item_energy(const Problem<T>& p, int64_t item, const int32_t* labels, int threads) {
  if (p.pairwise.kind() == PotentialKind::Table) {
    const TableValues v{p.pairwise.values().data(), p.labels};
    return energy_with(p, v, item, labels, threads);
  }
  return energy_with(p, DifferenceValues(p.pairwise, p.labels), item, labels, threads);
}

template <class T>
std::vector<double> energy(const Problem<T>& problem, const int32_t* labels, int threads) {
  check_problem(problem);
  const int count = threads_for(problem.pixels() * (1 + problem.pairs()), threads);
  check_labels("labels", labels, problem.batch, problem.height, problem.width, problem.labels);
  std::vector<double> energies;
  for (int64_t b = 0; b < problem.batch; ++b) {
    energies.push_back(item_energy(problem, b, labels + b * problem.pixels(), count));
    if (std::isnan(energies.back())) {  // cheaper than looking at every unary, of which one per
                                        // pixel counts
      throw std::invalid_argument(
          "unary: expected numbers or +inf (a forbidden label), got nan at a given label" +
          (problem.batch > 1 ? " of item " + std::to_string(b) : std::string()));
    }
  }
  return energies;
}

template double item_energy<float>(const Problem<float>&, int64_t, const int32_t*, int);
template double item_energy<double>(const Problem<double>&, int64_t, const int32_t*, int);
template std::vector<double> energy<float>(const Problem<float>&, const int32_t*, int);
template std::vector<double> energy<double>(const Problem<double>&, const int32_t*, int);

}  // namespace mrfcore
