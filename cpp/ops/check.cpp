// SPDX-License-Identifier: Apache-2.0
#include "ops/check.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>

#include "core/directions.hpp"
#include "ops/item.hpp"

namespace mrfcore {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

[[noreturn]] void bad(const std::string& message) { throw std::invalid_argument(message); }

std::string shape_text(int64_t batch, int64_t height, int64_t width, int64_t labels) {
  return "[" + std::to_string(batch) + ", " + std::to_string(height) + ", " +
         std::to_string(width) + ", " + std::to_string(labels) + "]";
}

/// visit(item, pair, y, x, weight) for every edge inside the image, of items that have their own.
template <class T, class Visit>
void each_edge_weight(const Problem<T>& p, const Visit& visit) {
  const int64_t arrays = p.edge_weights_batch_stride == 0 ? 1 : p.batch;
  for (int64_t b = 0; b < arrays; ++b) {
    for (int64_t pair = 0; pair < p.pairs(); ++pair) {
      const core::Direction d = core::direction(2 * static_cast<int>(pair));
      const T* w = p.edge_weights + b * p.edge_weights_batch_stride + pair * p.pixels();
      for (int64_t y = 0; y + d.dy < p.height; ++y) {
        for (int64_t x = d.dx < 0 ? -d.dx : 0; x < (d.dx > 0 ? p.width - d.dx : p.width); ++x) {
          visit(b, pair, y, x, w[y * p.width + x]);
        }
      }
    }
  }
}

template <class T>
void check_edge_weights(const Problem<T>& p) {
  each_edge_weight(p, [&](int64_t b, int64_t pair, int64_t y, int64_t x, T value) {
    if (value >= T(0) && value < T(1e12)) return;
    bad("weights: expected numbers in [0, 1e12), got " + number(static_cast<double>(value)) +
        " at [" + std::to_string(pair) + ", " + std::to_string(y) + ", " + std::to_string(x) + "]" +
        (p.batch > 1 ? " of item " + std::to_string(b) : ""));
  });
}

template <class T>
double largest_weight(const Problem<T>& p) {
  if (p.edge_weights == nullptr) return static_cast<double>(p.weight);
  T largest = T(0);
  each_edge_weight(
      p, [&](int64_t, int64_t, int64_t, int64_t, T value) { largest = std::max(largest, value); });
  return static_cast<double>(largest);
}

/// max V - min V
template <class T>
double potential_range(const Problem<T>& p) {
  if (p.pairwise.kind() != PotentialKind::Table) return p.pairwise(0, p.labels - 1);
  const std::vector<double>& v = p.pairwise.values();
  const auto [low, high] = std::minmax_element(v.begin(), v.end());
  return *high - *low;
}

}  // namespace

template <class T>
void check_shape(const Problem<T>& p) {
  if (p.batch < 1 || p.height < 1 || p.width < 1 || p.labels < 1) {
    bad("unary: expected a non-empty [B, H, W, L], got shape " +
        shape_text(p.batch, p.height, p.width, p.labels));
  }
  if (p.unary == nullptr) bad("unary: expected an array, got a null pointer");
  if (p.labels > std::numeric_limits<int32_t>::max() / 2) {
    bad("unary: expected fewer than 2^30 labels, got L = " + std::to_string(p.labels));
  }
  // 2^56 cells of 8 bytes: what addresses can reach; beyond, products of sizes would overflow.
  constexpr double kMostCells = 7.2e16;
  if (static_cast<double>(p.batch) * static_cast<double>(p.height) * static_cast<double>(p.width) *
          static_cast<double>(p.labels) >
      kMostCells) {
    bad("unary: expected fewer than 2^56 cells, got shape " +
        shape_text(p.batch, p.height, p.width, p.labels));
  }
  if (p.connectivity != 4 && p.connectivity != 8 && p.connectivity != 16) {
    bad("connectivity: expected 4, 8 or 16, got " + std::to_string(p.connectivity));
  }
  if (p.pairwise.kind() == PotentialKind::Table && p.pairwise.labels() != p.labels) {
    bad("pairwise: expected a table [L, L] with L = " + std::to_string(p.labels) +
        " as in unary, got [" + std::to_string(p.pairwise.labels()) + ", " +
        std::to_string(p.pairwise.labels()) + "]");
  }
  const double largest =
      p.pairwise.kind() == PotentialKind::Table ? 0.0 : p.pairwise(0, p.labels - 1);
  if (!(largest < 1e12)) {
    bad("pairwise: expected V below 1e12, got V(0, " + std::to_string(p.labels - 1) +
        ") = " + number(largest));
  }
  if (p.edge_weights == nullptr && !(p.weight >= T(0) && p.weight < T(1e12)))
    bad("weights: expected a number in [0, 1e12), got " + number(static_cast<double>(p.weight)));
}

template <class T>
void check_problem(const Problem<T>& p) {
  check_shape(p);
  if (p.edge_weights != nullptr) check_edge_weights(p);
}

template <class T>
bool check_unary_values(const Problem<T>& p, int threads) {
  bool forbidden = false;
  const int64_t size = p.cells();
  for (int64_t b = 0; b < p.batch; ++b) {
    const UnaryScan scan = scan_unary(p.unary + b * size, size, threads);
    forbidden = forbidden || scan.forbidden;
    if (!scan.bad) continue;
    const int64_t i = scan.where;
    bad("unary: expected numbers below " + number(static_cast<double>(cpu::kLargestUnary<T>)) +
        " in magnitude or +inf (a forbidden label), got " +
        number(static_cast<double>(p.unary[b * size + i])) +
        " at y = " + std::to_string(i / (p.width * p.labels)) +
        ", x = " + std::to_string(i / p.labels % p.width) + ", label " +
        std::to_string(i % p.labels) + (p.batch > 1 ? " of item " + std::to_string(b) : ""));
  }
  return forbidden;
}

void check_labels(const char* name, const int32_t* labels, int64_t batch, int64_t height,
                  int64_t width, int64_t label_count) {
  if (labels == nullptr) bad(std::string(name) + ": expected an array, got a null pointer");
  for (int64_t i = 0; i < batch * height * width; ++i) {
    if (labels[i] >= 0 && labels[i] < label_count) continue;
    bad(std::string(name) + ": expected labels 0.." + std::to_string(label_count - 1) + ", got " +
        std::to_string(labels[i]) + " at [" +
        (batch > 1 ? std::to_string(i / (height * width)) + ", " : "") +
        std::to_string(i / width % height) + ", " + std::to_string(i % width) + "]");
  }
}

template <class T>
void check_options(const Problem<T>& p, const Options& o) {
  if (o.iterations < 0)
    bad("iterations: expected a number >= 0, got " + std::to_string(o.iterations));
  if (o.rho != 0.0 && !(o.rho > 1e-3 && o.rho <= 1.0)) {
    bad("rho: expected a number in (0.001, 1], got " + std::to_string(o.rho));
  }
  if (!(o.damping >= 0.0 && o.damping < 1.0)) {
    bad("damping: expected a number in [0, 1), got " + std::to_string(o.damping));
  }
  if (o.polish && (*o.polish < 0 || *o.polish > 4)) {
    bad("polish: expected a number of labellings from 0 to 4, got " + std::to_string(*o.polish));
  }
  if (o.coarse && (*o.coarse < 0 || *o.coarse > 16)) {
    bad("coarse: expected a number of coarser grids from 0 to 16, got " +
        std::to_string(*o.coarse));
  }
  if (o.tolerance && !(*o.tolerance >= 0.0)) {
    bad("tolerance: expected a number >= 0, got " + std::to_string(*o.tolerance));
  }
  if (o.gap_tolerance && !(*o.gap_tolerance >= 0.0)) {
    bad("gap_tolerance: expected a number >= 0, got " + std::to_string(*o.gap_tolerance));
  }
  if (o.solver == Solver::Chain && p.height != 1 && p.width != 1) {
    bad("solver: \"chain\" is exact on chains, so it needs H = 1 or W = 1, got [" +
        std::to_string(p.height) + ", " + std::to_string(p.width) +
        "]; use \"trws\" or \"trwp\" on grids");
  }
  if (o.init_labels != nullptr)
    check_labels("init", o.init_labels, p.batch, p.height, p.width, p.labels);
}

template <class T>
void check_message_dtype(const Problem<T>& p, const Options& o) {
  if (o.message_dtype == MessageDtype::Full) return;
  const char* const name = o.message_dtype == MessageDtype::Float16 ? "float16" : "bfloat16";
  if (sizeof(T) != sizeof(float)) {
    bad(std::string("message_dtype: \"") + name +
        "\" is for unaries in float32, got float64; leave it out, or give float32");
  }
  switch (o.solver) {
    case Solver::TRWP:
    case Solver::BP:
    case Solver::ISGMR:
    case Solver::TRWS:
      break;
    default:
      bad("message_dtype: only TRWP, BP, ISGMR and TRWS keep messages");
  }
  if (o.message_dtype != MessageDtype::Float16) return;
  const double largest = largest_weight(p) * potential_range(p);
  if (largest > kLargestFloat16) {
    bad("message_dtype: \"float16\" holds messages up to " + number(kLargestFloat16) +
        ", weights times V reach " + number(largest) +
        "; use \"bfloat16\", or divide unaries and weights by a common factor");
  }
  if (largest > 0.0 && largest < kSmallestRangeFloat16) {
    bad("message_dtype: \"float16\" is too coarse for messages as small as weights times V, " +
        number(largest) +
        " at most; use \"bfloat16\", or multiply unaries and weights by a common " +
        "factor that brings this to " + number(kSmallestRangeFloat16) + " or more");
  }
}

template <class T>
void check_layer(const Problem<T>& p, const LayerOptions& o) {
  check_shape(p);
  check_options(p, o);
  if (o.message_dtype != MessageDtype::Full)
    bad("message_dtype: a layer keeps messages in the unaries' type; leave it out");
  switch (o.solver) {
    case Solver::SGM:
    case Solver::ISGMR:
    case Solver::TRWP:
    case Solver::BP:
    case Solver::MeanField:
      break;
    default:
      bad("solver: expected SGM, ISGMR, TRWP, BP or MeanField for a layer");
  }
  if (p.labels > 65535)
    bad("unary: expected at most 65535 labels for a layer, got L = " + std::to_string(p.labels));
  if (!(o.temperature == 0.0 || (o.temperature >= 1e-6 && o.temperature <= 1e6))) {
    bad("temperature: expected 0 (hard minima) or a number in [1e-6, 1e6], got " +
        std::to_string(o.temperature));
  }
  const bool soft = o.solver == Solver::ISGMR || o.solver == Solver::TRWP || o.solver == Solver::BP;
  if (o.temperature > 0.0 && !soft)
    bad("temperature: only ISGMR, TRWP and BP have soft minima, got " +
        std::to_string(o.temperature));
  if (o.store_every < 1)
    bad("store_every: expected a number >= 1, got " + std::to_string(o.store_every));
}

template <class T>
void check_gradients(const Problem<T>& p, const void* tape, const T* grad_costs,
                     const Gradients<T>& g) {
  if (tape == nullptr) bad("tape: expected what layer_forward() wrote, got a null pointer");
  if (grad_costs == nullptr) bad("grad_costs: expected an array, got a null pointer");
  if (g.edge_weights != nullptr && p.edge_weights == nullptr)
    bad("gradients.edge_weights: the problem has no edge weights; ask for the scalar's");
  if (g.weight != nullptr && p.edge_weights != nullptr)
    bad("gradients.weight: the problem has edge weights, not a scalar");
}

template void check_shape<float>(const Problem<float>&);
template void check_shape<double>(const Problem<double>&);
template void check_message_dtype<float>(const Problem<float>&, const Options&);
template void check_message_dtype<double>(const Problem<double>&, const Options&);
template void check_layer<float>(const Problem<float>&, const LayerOptions&);
template void check_layer<double>(const Problem<double>&, const LayerOptions&);
template void check_gradients<float>(const Problem<float>&, const void*, const float*,
                                     const Gradients<float>&);
template void check_gradients<double>(const Problem<double>&, const void*, const double*,
                                      const Gradients<double>&);
template void check_problem<float>(const Problem<float>&);
template void check_problem<double>(const Problem<double>&);
template bool check_unary_values<float>(const Problem<float>&, int);
template bool check_unary_values<double>(const Problem<double>&, int);
template void check_options<float>(const Problem<float>&, const Options&);
template void check_options<double>(const Problem<double>&, const Options&);

}  // namespace mrfcore
