// SPDX-License-Identifier: Apache-2.0
// Every solver once more, in double, with the shortest loops that do it: the tests' second opinion.
// Nothing of the library is used here.
//
// A direction r is a step (dy, dx); even r point forward in raster order, r ^ 1 back. The message
// m[r] at node i comes from its predecessor i - r and is zero where that lies outside. Since even
// steps are positive in raster order, walking the image in raster order (reversed for odd r) meets
// predecessors first. An edge is owned by its end that comes first in raster order; the owner's
// label is V's first argument.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <vector>

namespace plain {

using Vector = std::vector<double>;
using Labels = std::vector<int>;

inline constexpr int kSteps[16][2] = {{0, 1},  {0, -1}, {1, 0},  {-1, 0},  {1, 1}, {-1, -1},
                                      {1, -1}, {-1, 1}, {1, 2},  {-1, -2}, {2, 1}, {-2, -1},
                                      {2, -1}, {-2, 1}, {1, -2}, {-1, 2}};

/// E(x) = sum_i unary[i, x_i] + sum_(pq) weight V(x_p, x_q)  (Eq 3.1)
struct Grid {
  int height = 0, width = 0, labels = 0, connectivity = 4;
  Vector unary;    // [H, W, L]
  Vector table;    // [L, L]: V(l, m) at l * L + m
  Vector weights;  // [connectivity / 2, H, W]

  int pixels() const { return height * width; }
  size_t cell(int i, int l) const { return static_cast<size_t>(i * labels + l); }
  double theta(int i, int l) const { return unary[cell(i, l)]; }
  /// Pixel i + s * step(r), or -1 outside.
  int moved(int i, int r, int s) const {
    const auto& [dy, dx] = kSteps[r];
    const int y = i / width + s * dy, x = i % width + s * dx;
    return y < 0 || y >= height || x < 0 || x >= width ? -1 : y * width + x;
  }
  int next(int i, int r) const { return moved(i, r, 1); }
  int previous(int i, int r) const { return moved(i, r, -1); }
  /// w V of the edge from p (label m) along r to its next node (label l).
  double edge(int p, int r, int m, int l) const {
    const int owner = r % 2 == 0 ? p : next(p, r);
    const double w = weights[static_cast<size_t>(r / 2 * pixels() + owner)];
    return w * table[static_cast<size_t>(r % 2 == 0 ? m * labels + l : l * labels + m)];
  }
};

struct Solution {
  Labels labels;
  Vector costs;
  double lower_bound = -std::numeric_limits<double>::infinity();
};

using Messages = std::vector<Vector>;  // one [H, W, L] per direction

inline Messages no_messages(const Grid& g) {
  return Messages(static_cast<size_t>(g.connectivity), Vector(g.unary.size(), 0.0));
}

/// visit(i) in raster order, reversed for odd r.
inline void walk(const Grid& g, int r, const std::function<void(int)>& visit) {
  for (int k = 0; k < g.pixels(); ++k) visit(r % 2 == 0 ? k : g.pixels() - 1 - k);
}

/// Lowest label on ties.
inline Labels arg_min(const Grid& g, const Vector& costs) {
  Labels labels;
  for (int i = 0; i < g.pixels(); ++i) {
    const auto row = costs.begin() + i * g.labels;
    labels.push_back(static_cast<int>(std::min_element(row, row + g.labels) - row));
  }
  return labels;
}

inline double energy(const Grid& g, const Labels& x) {
  const auto at = [&](int i) { return x[static_cast<size_t>(i)]; };
  double total = 0.0;
  for (int i = 0; i < g.pixels(); ++i) {
    total += g.theta(i, at(i));
    for (int r = 0; r < g.connectivity; r += 2) {
      if (g.next(i, r) >= 0) total += g.edge(i, r, at(i), at(g.next(i, r)));
    }
  }
  return total;
}

/// The lowest energy of all labellings, by trying them all.
inline double optimum(const Grid& g) {
  Labels x(static_cast<size_t>(g.pixels()), 0);
  double best = std::numeric_limits<double>::infinity();
  for (;;) {
    best = std::min(best, energy(g, x));
    size_t i = 0;
    while (i < x.size() && ++x[i] == g.labels) x[i++] = 0;
    if (i == x.size()) return best;
  }
}

/// out(l) = min_m h(m) + w V(m, l) along direction r, from p.
inline Vector convolve(const Grid& g, int p, int r, const Vector& h) {
  Vector out(h.size(), std::numeric_limits<double>::infinity());
  for (int l = 0; l < g.labels; ++l) {
    double& lowest = out[static_cast<size_t>(l)];
    for (int m = 0; m < g.labels; ++m) {
      lowest = std::min(lowest, h[static_cast<size_t>(m)] + g.edge(p, r, m, l));
    }
  }
  return out;
}

/// Eq 3.5 and damping: target_i = (1 - damping) (convolved - its minimum) + damping target_i.
/// Returns the minimum.
inline double store_message(const Grid& g, const Vector& convolved, double damping, int i,
                            Vector& target) {
  const double lowest = *std::min_element(convolved.begin(), convolved.end());
  for (int l = 0; l < g.labels; ++l) {
    double& m = target[g.cell(i, l)];
    m = (1.0 - damping) * (convolved[static_cast<size_t>(l)] - lowest) + damping * m;
  }
  return lowest;
}

/// theta_i + all messages (Eq 3.7).
inline Vector belief(const Grid& g, const Messages& messages, int i) {
  Vector b;
  for (int l = 0; l < g.labels; ++l) {
    b.push_back(g.theta(i, l));
    for (const Vector& m : messages) b.back() += m[g.cell(i, l)];
  }
  return b;
}

/// Is there an edge of direction r in the image? (A single pixel counts as a horizontal scanline.)
inline bool has_edges(const Grid& g, int r) {
  for (int i = 0; i < g.pixels(); ++i) {
    if (g.next(i, r) >= 0) return true;
  }
  return g.pixels() == 1 && r == 0;
}

inline int pairs_with_edges(const Grid& g) {
  int pairs = 0;
  for (int r = 0; r < g.connectivity; r += 2) pairs += has_edges(g, r) ? 1 : 0;
  return pairs;
}

/// Sum of the exact minima of all scanlines. Those of each pair of directions that has edges take
/// an equal share of their nodes' reparametrised unaries (theta + messages), and their edges less
/// the two messages on them.
inline double chain_bound(const Grid& g, const Messages& messages) {
  double total = 0.0;
  for (int r = 0; r < g.connectivity; r += 2) {
    if (!has_edges(g, r)) continue;
    Vector tail(g.unary.size());  // minimum over the scanline up to here
    walk(g, r, [&](int i) {
      const int p = g.previous(i, r);
      Vector so_far(static_cast<size_t>(g.labels), p < 0 ? 0.0 : 1e300);
      for (int l = 0; p >= 0 && l < g.labels; ++l) {
        for (int m = 0; m < g.labels; ++m) {
          const double edge = g.edge(p, r, m, l) - messages[static_cast<size_t>(r)][g.cell(i, l)] -
                              messages[static_cast<size_t>(r + 1)][g.cell(p, m)];
          double& lowest = so_far[static_cast<size_t>(l)];
          lowest = std::min(lowest, tail[g.cell(p, m)] + edge);
        }
      }
      const Vector b = belief(g, messages, i);
      for (int l = 0; l < g.labels; ++l) {
        const auto k = static_cast<size_t>(l);
        tail[g.cell(i, l)] = so_far[k] + b[k] / pairs_with_edges(g);
      }
      const auto row = tail.begin() + i * g.labels;
      if (g.next(i, r) < 0) total += *std::min_element(row, row + g.labels);
    });
  }
  return total;
}

inline Solution finish(const Grid& g, const Messages& messages) {
  Solution s;
  for (int i = 0; i < g.pixels(); ++i) {
    for (const double b : belief(g, messages, i)) s.costs.push_back(b);
  }
  s.labels = arg_min(g, s.costs);
  s.lower_bound = chain_bound(g, messages);
  return s;
}

inline void subtract_minima(Grid& g) {
  for (int i = 0; i < g.pixels(); ++i) {
    const auto row = g.unary.begin() + i * g.labels;
    const double lowest = *std::min_element(row, row + g.labels);
    for (int l = 0; l < g.labels; ++l) g.unary[g.cell(i, l)] -= lowest;
  }
}

/// Eq 3.3, 3.6. Iterated, the cost is the next unary; costs are reported divided by D^(K - 1).
/// After the first iteration minima over labels are taken off all path costs and unaries.
inline Solution sgm(const Grid& g, int iterations, bool zero_head = false) {
  Grid now = g;
  for (int k = 0; k < iterations; ++k) {
    if (k > 0) subtract_minima(now);
    Vector sum(g.unary.size(), 0.0);
    for (int r = 0; r < g.connectivity; ++r) {
      Vector path(g.unary.size());
      walk(g, r, [&](int i) {
        const int p = g.previous(i, r);
        Vector before(static_cast<size_t>(g.labels), 0.0);
        if (p >= 0) std::copy_n(path.begin() + p * g.labels, g.labels, before.begin());
        const double lowest = *std::min_element(before.begin(), before.end());
        const Vector step = p < 0 ? before : convolve(g, p, r, before);
        for (int l = 0; l < g.labels; ++l) {
          const double own = p < 0 && zero_head ? 0.0 : now.theta(i, l);
          path[g.cell(i, l)] = own + step[static_cast<size_t>(l)] - lowest;
        }
        const auto row = path.begin() + i * g.labels;
        const double least = k > 0 ? *std::min_element(row, row + g.labels) : 0.0;
        for (int l = 0; l < g.labels; ++l) sum[g.cell(i, l)] += path[g.cell(i, l)] - least;
      });
    }
    now.unary = sum;
  }
  for (double& c : now.unary) c /= std::pow(g.connectivity, iterations - 1);
  return {arg_min(g, now.unary), now.unary, chain_bound(g, no_messages(g))};
}

/// Algorithm 1, Eq 3.9: own direction's new message, other pairs' messages of the last iteration.
inline Solution isgmr(const Grid& g, int iterations, double damping = 0.0) {
  Messages old = no_messages(g);
  for (int k = 0; k < iterations; ++k) {
    Messages fresh = old;
    for (int r = 0; r < g.connectivity; ++r) {
      const auto own = static_cast<size_t>(r), reverse = static_cast<size_t>(r ^ 1);
      walk(g, r, [&](int i) {
        const int p = g.previous(i, r);
        if (p < 0) return;
        Vector h = belief(g, old, p);
        for (int m = 0; m < g.labels; ++m) {
          h[static_cast<size_t>(m)] +=
              fresh[own][g.cell(p, m)] - old[own][g.cell(p, m)] - old[reverse][g.cell(p, m)];
        }
        store_message(g, convolve(g, p, r, h), damping, i, fresh[own]);
      });
    }
    old = fresh;
  }
  return finish(g, old);
}

/// Algorithm 2 with Eq 3.10; loopy belief propagation for rho = 1.
inline Messages trwp_messages(const Grid& g, int iterations, double rho, double damping = 0.0) {
  Messages messages = no_messages(g);
  for (int k = 0; k < iterations; ++k) {
    for (int r = 0; r < g.connectivity; ++r) {
      walk(g, r, [&](int i) {
        const int p = g.previous(i, r);
        if (p < 0) return;
        Vector h = belief(g, messages, p);
        for (int m = 0; m < g.labels; ++m) {
          double& value = h[static_cast<size_t>(m)];
          value = rho * value - messages[static_cast<size_t>(r ^ 1)][g.cell(p, m)];
        }
        store_message(g, convolve(g, p, r, h), damping, i, messages[static_cast<size_t>(r)]);
      });
    }
  }
  return messages;
}

inline Solution trwp(const Grid& g, int iterations, double rho, double damping = 0.0) {
  return finish(g, trwp_messages(g, iterations, rho, damping));
}

/// TRW-S labelling: in raster order, neighbours behind are fixed, neighbours ahead send messages.
inline Labels condition(const Grid& g, const Messages& messages) {
  Labels x(static_cast<size_t>(g.pixels()), 0);
  for (int i = 0; i < g.pixels(); ++i) {
    Vector cost;
    for (int l = 0; l < g.labels; ++l) {
      cost.push_back(g.theta(i, l));
      for (int r = 0; r < g.connectivity; r += 2) {
        const int p = g.previous(i, r);
        cost.back() += messages[static_cast<size_t>(r + 1)][g.cell(i, l)];
        if (p >= 0) cost.back() += g.edge(p, r, x[static_cast<size_t>(p)], l);
      }
    }
    x[static_cast<size_t>(i)] =
        static_cast<int>(std::min_element(cost.begin(), cost.end()) - cost.begin());
  }
  return x;
}

/// One pass of TRW-S (Eq 2.44) in the raster order of `parity`; returns the sum of the minima of
/// the monotonic chains: what messages lost, and min b for the share of chains that end in a node.
inline double trws_pass(const Grid& g, int parity, Messages& messages) {
  double bound = 0.0;
  // The same gamma everywhere: one over the pairs of directions that exist in the image.
  const double gamma = 1.0 / pairs_with_edges(g);
  walk(g, parity, [&](int i) {
    int ahead = 0;
    for (int r = parity; r < g.connectivity; r += 2) ahead += g.next(i, r) >= 0;
    const Vector b = belief(g, messages, i);
    bound += (1.0 - gamma * ahead) * *std::min_element(b.begin(), b.end());
    for (int r = parity; r < g.connectivity; r += 2) {
      const int j = g.next(i, r);
      if (j < 0) continue;
      Vector h;
      for (int m = 0; m < g.labels; ++m) {
        h.push_back(gamma * b[static_cast<size_t>(m)] -
                    messages[static_cast<size_t>(r ^ 1)][g.cell(i, m)]);
      }
      bound += store_message(g, convolve(g, i, r, h), 0.0, j, messages[static_cast<size_t>(r)]);
    }
  });
  return bound;
}

inline Solution trws(const Grid& g, int iterations) {
  Messages messages = no_messages(g);
  double bound = 0.0;
  for (int k = 0; k < iterations; ++k) {
    trws_pass(g, 0, messages);
    bound = trws_pass(g, 1, messages);
  }
  Solution s = finish(g, messages);
  s.labels = condition(g, messages);
  s.lower_bound = bound;
  return s;
}

/// Q = softmax(-c), c_i(l) = theta_i(l) + share sum_r sum_m w V(m, l) Q_{i - r}(m).
inline Solution mean_field(const Grid& g, int iterations, double share = 1.0) {
  Vector costs = g.unary;
  for (int k = 0; k < iterations; ++k) {
    Vector q(costs.size());
    for (int i = 0; i < g.pixels(); ++i) {
      const auto row = costs.begin() + i * g.labels;
      const double lowest = *std::min_element(row, row + g.labels);
      double sum = 0.0;
      for (int l = 0; l < g.labels; ++l) sum += std::exp(lowest - costs[g.cell(i, l)]);
      for (int l = 0; l < g.labels; ++l) {
        q[g.cell(i, l)] = std::exp(lowest - costs[g.cell(i, l)]) / sum;
      }
    }
    for (int i = 0; i < g.pixels(); ++i) {
      for (int l = 0; l < g.labels; ++l) {
        double expected = 0.0;
        for (int r = 0; r < g.connectivity; ++r) {
          const int p = g.previous(i, r);
          for (int m = 0; p >= 0 && m < g.labels; ++m) {
            expected += g.edge(p, r, m, l) * q[g.cell(p, m)];
          }
        }
        costs[g.cell(i, l)] = g.theta(i, l) + share * expected;
      }
    }
  }
  return {arg_min(g, costs), costs, chain_bound(g, no_messages(g))};
}

/// Energy terms that touch node i if it takes label l and all others keep theirs (Eq 2.31).
inline double conditioned_cost(const Grid& g, const Labels& x, int i, int l) {
  double cost = g.theta(i, l);
  for (int r = 0; r < g.connectivity; ++r) {
    const int p = g.previous(i, r);
    if (p >= 0) cost += g.edge(p, r, x[static_cast<size_t>(p)], l);
  }
  return cost;
}

/// Min-marginals of a chain: the lowest energy of all labellings that give node i the label l.
inline Vector min_marginals(const Grid& g) {
  const int r = g.height == 1 ? 0 : 2;
  Vector costs = g.unary;
  for (const int way : {r, r + 1}) {
    Vector reach = g.unary;  // lowest energy of the part up to here, this node's label fixed
    walk(g, way, [&](int i) {
      const int p = g.previous(i, way);
      if (p < 0) return;
      const Vector h(reach.begin() + p * g.labels, reach.begin() + (p + 1) * g.labels);
      const Vector best = convolve(g, p, way, h);
      for (int l = 0; l < g.labels; ++l) {
        reach[g.cell(i, l)] += best[static_cast<size_t>(l)];
        costs[g.cell(i, l)] += best[static_cast<size_t>(l)];
      }
    });
  }
  return costs;
}

}  // namespace plain
