// SPDX-License-Identifier: Apache-2.0
#include "plain_loops.hpp"

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

void plain_labels(const PlainProblem& p, const float* unary, const float* volumes,
                  int32_t* labels) {
  for (std::size_t i = 0; i < p.height * p.width; ++i) {
    float best = kInfinity;
    labels[i] = 0;
    for (std::size_t l = 0; l < p.labels; ++l) {
      float cost = unary != nullptr ? unary[i * p.labels + l] : 0.0f;
      for (int d = 0; d < p.directions; ++d) {
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
