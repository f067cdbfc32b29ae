// SPDX-License-Identifier: Apache-2.0
// What Options::polish does, once more: in double, with the shortest loops. Nothing of the library
// is used here.
#pragma once

#include <cstdlib>
#include <set>

#include "plain_solvers.hpp"

namespace plain {

/// Conditioned labelling in raster order from a corner: neighbours that have a label are fixed, the
/// others send messages.
inline Labels condition_from(const Grid& g, const Messages& messages, bool bottom, bool right) {
  Labels x(static_cast<size_t>(g.pixels()), -1);
  for (int a = 0; a < g.height; ++a) {
    for (int b = 0; b < g.width; ++b) {
      const int i = (bottom ? g.height - 1 - a : a) * g.width + (right ? g.width - 1 - b : b);
      Vector cost;
      for (int l = 0; l < g.labels; ++l) {
        cost.push_back(g.theta(i, l));
        for (int r = 0; r < g.connectivity; ++r) {
          const int p = g.previous(i, r);
          if (p < 0) continue;
          const int label = x[static_cast<size_t>(p)];
          cost.back() +=
              label < 0 ? messages[static_cast<size_t>(r)][g.cell(i, l)] : g.edge(p, r, label, l);
        }
      }
      x[static_cast<size_t>(i)] =
          static_cast<int>(std::min_element(cost.begin(), cost.end()) - cost.begin());
    }
  }
  return x;
}

/// The best labels of one line given all others, by dynamic programming. r: 0 for the row that
/// `start` begins, 2 for the column.
inline void minimize_line(const Grid& g, int start, int r, Labels& x) {
  std::vector<int> nodes;
  for (int i = start; i >= 0; i = g.next(i, r)) nodes.push_back(i);
  std::vector<Vector> reach;
  for (const int i : nodes) {
    Vector cost;
    for (int l = 0; l < g.labels; ++l) {
      double c = g.theta(i, l);
      for (int d = 0; d < g.connectivity; ++d) {
        const int p = g.previous(i, d);
        if (p >= 0 && d / 2 != r / 2) c += g.edge(p, d, x[static_cast<size_t>(p)], l);
      }
      double best = reach.empty() ? 0.0 : std::numeric_limits<double>::infinity();
      for (int m = 0; m < g.labels && !reach.empty(); ++m)
        best = std::min(best,
                        reach.back()[static_cast<size_t>(m)] + g.edge(g.previous(i, r), r, m, l));
      cost.push_back(c + best);
    }
    reach.push_back(cost);
  }
  int next = -1;
  for (size_t k = nodes.size(); k-- > 0;) {
    Vector cost = reach[k];
    for (int l = 0; l < g.labels && next >= 0; ++l)
      cost[static_cast<size_t>(l)] += g.edge(nodes[k], r, l, next);
    next = static_cast<int>(std::min_element(cost.begin(), cost.end()) - cost.begin());
    x[static_cast<size_t>(nodes[k])] = next;
  }
}

/// All rows, then all columns, colour by colour.
inline void minimize_lines(const Grid& g, Labels& x) {
  const int colours = g.connectivity == 16 ? 3 : 2;
  for (int c = 0; c < colours; ++c) {
    for (int y = c; y < g.height; y += colours) minimize_line(g, y * g.width, 0, x);
  }
  for (int c = 0; c < colours; ++c) {
    for (int column = c; column < g.width; column += colours) minimize_line(g, column, 2, x);
  }
}

/// The connected region of different labels around a pixel.
inline std::set<int> region_of(const Grid& g, const Labels& a, const Labels& b, int pixel) {
  std::set<int> region{pixel};
  std::vector<int> edge{pixel};
  while (!edge.empty()) {
    const int i = edge.back();
    edge.pop_back();
    for (int r = 0; r < g.connectivity; ++r) {
      const int j = g.next(i, r);
      if (j < 0 || a[static_cast<size_t>(j)] == b[static_cast<size_t>(j)]) continue;
      if (region.insert(j).second) edge.push_back(j);
    }
  }
  return region;
}

/// x with every region of `other` that lowers the energy.
inline Labels fuse(const Grid& g, Labels x, const Labels& other) {
  const Labels before = x;
  std::set<int> done;
  for (int i = 0; i < g.pixels(); ++i) {
    if (before[static_cast<size_t>(i)] == other[static_cast<size_t>(i)] || done.count(i) > 0)
      continue;
    Labels changed = x;
    for (const int j : region_of(g, before, other, i)) {
      changed[static_cast<size_t>(j)] = other[static_cast<size_t>(j)];
      done.insert(j);
    }
    if (energy(g, changed) < energy(g, x) - 1e-9) x = changed;
  }
  return x;
}

inline Labels polish(const Grid& g, const Messages& messages, int labellings, Labels x) {
  constexpr bool kCorners[4][2] = {{false, false}, {true, true}, {false, true}, {true, false}};
  const auto improved = [&](Labels y) {
    minimize_lines(g, y);
    return y;
  };
  x = fuse(g, x, improved(x));
  for (int i = 0; i < labellings; ++i) {
    const auto& [bottom, right] = kCorners[i];
    x = fuse(g, x, improved(condition_from(g, messages, bottom, right)));
  }
  return fuse(g, x, improved(x));
}

}  // namespace plain
