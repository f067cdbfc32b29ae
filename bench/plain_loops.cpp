// SPDX-License-Identifier: Apache-2.0
#include "plain_loops.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/directions.hpp"

namespace mrfcore::bench {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// body(node, predecessor), offsets into a volume, so that every predecessor comes before its node.
/// Raster order serves all directions and is kinder to the caches than scanline after scanline.
/// head(node) for nodes whose predecessor lies outside.
template <class Head, class Body>
void walk(const PlainProblem& p, int r, const Head& head, const Body& body) {
  const core::Direction step = core::direction(r);
  const auto height = static_cast<int64_t>(p.height);
  const auto width = static_cast<int64_t>(p.width);
  const auto offset = [&](int64_t y, int64_t x) {
    return static_cast<std::size_t>(y * width + x) * p.labels;
  };
  for (int64_t i = 0; i < height; ++i) {
    const int64_t y = step.dy < 0 ? height - 1 - i : i;
    for (int64_t j = 0; j < width; ++j) {
      const int64_t x = step.dx < 0 ? width - 1 - j : j;
      const int64_t py = y - step.dy;
      const int64_t px = x - step.dx;
      const bool inside = py >= 0 && py < height && px >= 0 && px < width;
      inside ? body(offset(y, x), offset(py, px)) : head(offset(y, x));
    }
  }
}

const float* table(const PlainProblem& p, int r) { return r % 2 == 0 ? p.even_table : p.odd_table; }

/// Eq 3.5: subtracts the smallest entry.
void normalise(float* message, std::size_t labels) {
  float lowest = kInfinity;
  for (std::size_t l = 0; l < labels; ++l) {
    if (message[l] < lowest) lowest = message[l];
  }
  for (std::size_t l = 0; l < labels; ++l) message[l] -= lowest;
}

/// The pixel one step along r from pixel i, if there is one.
bool neighbour(const PlainProblem& p, int r, std::size_t i, std::size_t& found) {
  const core::Direction step = core::direction(r);
  const auto width = static_cast<int64_t>(p.width);
  const int64_t y = static_cast<int64_t>(i) / width + step.dy;
  const int64_t x = static_cast<int64_t>(i) % width + step.dx;
  if (y < 0 || y >= static_cast<int64_t>(p.height) || x < 0 || x >= width) return false;
  found = static_cast<std::size_t>(y * width + x);
  return true;
}

constexpr auto kKeepZero = [](std::size_t) {};

}  // namespace

void plain_trwp_iteration(const PlainProblem& p, float rho, float* messages) {
  const std::size_t volume = p.volume();
  for (int r = 0; r < p.directions; ++r) {
    const float* opposite = messages + static_cast<std::size_t>(core::opposite(r)) * volume;
    float* own = messages + static_cast<std::size_t>(r) * volume;
    const float* v = table(p, r);
    walk(p, r, kKeepZero, [&](std::size_t node, std::size_t previous) {
      for (std::size_t lambda = 0; lambda < p.labels; ++lambda) {
        float best = kInfinity;
        for (std::size_t mu = 0; mu < p.labels; ++mu) {
          float sum = p.unary[previous + mu];
          for (int d = 0; d < p.directions; ++d) {
            sum += messages[static_cast<std::size_t>(d) * volume + previous + mu];
          }
          const float delta =
              rho * sum - opposite[previous + mu] + p.weight * v[lambda * p.labels + mu];
          if (delta < best) best = delta;
        }
        own[node + lambda] = best;
      }
      normalise(own + node, p.labels);
    });
  }
}

void plain_isgmr_iteration(const PlainProblem& p, const float* messages, float* fresh) {
  const std::size_t volume = p.volume();
  for (int r = 0; r < p.directions; ++r) {
    float* own = fresh + static_cast<std::size_t>(r) * volume;
    const float* v = table(p, r);
    walk(p, r, kKeepZero, [&](std::size_t node, std::size_t previous) {
      for (std::size_t lambda = 0; lambda < p.labels; ++lambda) {
        float best = kInfinity;
        for (std::size_t mu = 0; mu < p.labels; ++mu) {
          float delta = p.unary[previous + mu] + own[previous + mu];
          for (int d = 0; d < p.directions; ++d) {
            if (d == r || d == core::opposite(r)) continue;
            delta += messages[static_cast<std::size_t>(d) * volume + previous + mu];
          }
          delta += p.weight * v[lambda * p.labels + mu];
          if (delta < best) best = delta;
        }
        own[node + lambda] = best;
      }
      normalise(own + node, p.labels);
    });
  }
}

void plain_sgm(const PlainProblem& p, float* paths) {
  for (int r = 0; r < p.directions; ++r) {
    float* own = paths + static_cast<std::size_t>(r) * p.volume();
    const float* v = table(p, r);
    const auto head = [&](std::size_t node) {
      for (std::size_t l = 0; l < p.labels; ++l) own[node + l] = p.unary[node + l];
    };
    walk(p, r, head, [&](std::size_t node, std::size_t previous) {
      float lowest = kInfinity;
      for (std::size_t mu = 0; mu < p.labels; ++mu) {
        if (own[previous + mu] < lowest) lowest = own[previous + mu];
      }
      for (std::size_t lambda = 0; lambda < p.labels; ++lambda) {
        float best = kInfinity;
        for (std::size_t mu = 0; mu < p.labels; ++mu) {
          const float delta = own[previous + mu] + p.weight * v[lambda * p.labels + mu];
          if (delta < best) best = delta;
        }
        own[node + lambda] = p.unary[node + lambda] + best - lowest;
      }
    });
  }
}

void plain_trws_iteration(const PlainProblem& p, float* messages) {
  const std::size_t volume = p.volume();
  const float gamma = 2.0f / static_cast<float>(p.directions);
  std::vector<float> sum(p.labels);
  const auto send = [&](int r, std::size_t node, std::size_t next) {
    const float* v = table(p, r);
    const float* opposite = messages + static_cast<std::size_t>(core::opposite(r)) * volume;
    float* own = messages + static_cast<std::size_t>(r) * volume + next;
    for (std::size_t lambda = 0; lambda < p.labels; ++lambda) {
      float best = kInfinity;
      for (std::size_t mu = 0; mu < p.labels; ++mu) {
        const float delta =
            gamma * sum[mu] - opposite[node + mu] + p.weight * v[lambda * p.labels + mu];
        if (delta < best) best = delta;
      }
      own[lambda] = best;
    }
    normalise(own, p.labels);
  };
  for (const bool ahead : {true, false}) {
    for (std::size_t k = 0; k < p.height * p.width; ++k) {
      const std::size_t i = ahead ? k : p.height * p.width - 1 - k;
      for (std::size_t l = 0; l < p.labels; ++l) {
        sum[l] = p.unary[i * p.labels + l];
        for (int d = 0; d < p.directions; ++d) {
          sum[l] += messages[static_cast<std::size_t>(d) * volume + i * p.labels + l];
        }
      }
      for (int r = 0; r < p.directions; ++r) {
        const core::Direction step = core::direction(r);
        const bool later = step.dy > 0 || (step.dy == 0 && step.dx > 0);
        std::size_t next = 0;
        if (later == ahead && neighbour(p, r, i, next)) send(r, i * p.labels, next * p.labels);
      }
    }
  }
}

void plain_mean_field_iteration(const PlainProblem& p, float* costs, float* beliefs) {
  for (std::size_t i = 0; i < p.volume(); i += p.labels) {
    float lowest = kInfinity;
    float total = 0.0f;
    for (std::size_t l = 0; l < p.labels; ++l) lowest = std::min(lowest, costs[i + l]);
    for (std::size_t l = 0; l < p.labels; ++l) {
      beliefs[i + l] = std::exp(lowest - costs[i + l]);
      total += beliefs[i + l];
    }
    for (std::size_t l = 0; l < p.labels; ++l) beliefs[i + l] /= total;
  }
  for (std::size_t i = 0; i < p.height * p.width; ++i) {
    float* own = costs + i * p.labels;
    for (std::size_t l = 0; l < p.labels; ++l) own[l] = p.unary[i * p.labels + l];
    for (int r = 0; r < p.directions; ++r) {
      std::size_t previous = 0;
      if (!neighbour(p, core::opposite(r), i, previous)) continue;
      const float* v = table(p, r);
      for (std::size_t lambda = 0; lambda < p.labels; ++lambda) {
        for (std::size_t mu = 0; mu < p.labels; ++mu) {
          own[lambda] += p.weight * v[lambda * p.labels + mu] * beliefs[previous * p.labels + mu];
        }
      }
    }
  }
}

void plain_icm_iteration(const PlainProblem& p, int32_t* labels) {
  const std::size_t side = p.directions == 4 ? 0 : (p.directions == 8 ? 2 : 3);
  const std::size_t colours = side == 0 ? 2 : side * side;
  for (std::size_t colour = 0; colour < colours; ++colour) {
    for (std::size_t i = 0; i < p.height * p.width; ++i) {
      const std::size_t y = i / p.width;
      const std::size_t x = i % p.width;
      if ((side == 0 ? (y + x) % 2 : y % side * side + x % side) != colour) continue;
      const auto cost = [&](std::size_t l) {
        float sum = p.unary[i * p.labels + l];
        for (int r = 0; r < p.directions; ++r) {
          std::size_t near = 0;
          if (!neighbour(p, core::opposite(r), i, near)) continue;
          sum += p.weight * table(p, r)[l * p.labels + static_cast<std::size_t>(labels[near])];
        }
        return sum;
      };
      const float best = cost(static_cast<std::size_t>(labels[i]));
      float lowest = kInfinity;
      std::size_t where = 0;
      for (std::size_t l = 0; l < p.labels; ++l) {
        const float value = cost(l);
        if (value < lowest) {
          lowest = value;
          where = l;
        }
      }
      if (lowest < best) labels[i] = static_cast<int32_t>(where);  // stays put on ties
    }
  }
}

void plain_labels(const PlainProblem& p, const float* unary, const float* volumes,
                  int32_t* labels) {
  for (std::size_t i = 0; i < p.height * p.width; ++i) {
    float best = kInfinity;
    labels[i] = 0;
    for (std::size_t l = 0; l < p.labels; ++l) {
      float cost = unary != nullptr ? unary[i * p.labels + l] : 0.0f;
      for (int d = 0; volumes != nullptr && d < p.directions; ++d) {
        cost += volumes[static_cast<std::size_t>(d) * p.volume() + i * p.labels + l];
      }
      if (cost < best) {
        best = cost;
        labels[i] = static_cast<int32_t>(l);
      }
    }
  }
}

std::vector<float> transposed(const std::vector<float>& values, std::size_t labels) {
  std::vector<float> out(values.size());
  for (std::size_t l = 0; l < labels; ++l) {
    for (std::size_t m = 0; m < labels; ++m) out[m * labels + l] = values[l * labels + m];
  }
  return out;
}

}  // namespace mrfcore::bench
