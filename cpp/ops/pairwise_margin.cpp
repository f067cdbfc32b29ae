// SPDX-License-Identifier: Apache-2.0
#include "ops/pairwise_margin.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/pairwise_margin.hpp"
#include "ops/buffer.hpp"
#include "ops/dispatch.hpp"

namespace mrfcore {
namespace {

template <class T>
const cpu::MarginKernels<T>& kernels() {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::margin_kernels<T>();
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::margin_kernels<T>();
#endif
    default:
      return cpu::baseline::margin_kernels<T>();
  }
}

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

/// Points of one item that count, by label, then by index.
template <class T>
std::vector<int64_t> sorted_points(const int64_t* labels, const T* weights, int64_t points) {
  std::vector<int64_t> order;
  for (int64_t p = 0; p < points; ++p) {
    if (!(weights[p] >= 0 && std::isfinite(weights[p]))) {
      fail("weights is " + std::to_string(weights[p]) + " at point " + std::to_string(p) +
           ", expected finite numbers >= 0");
    }
    if (weights[p] > 0) order.push_back(p);
  }
  std::sort(order.begin(), order.end(), [labels](int64_t a, int64_t b) {
    return labels[a] != labels[b] ? labels[a] < labels[b] : a < b;
  });
  return order;
}

/// Memory of one item, reused for the next.
template <class T>
class Item {
 public:
  Item(int64_t dims, int64_t points)
      : dims_(dims),
        stride_((dims + kRow - 1) / kRow * kRow),
        points_(points),
        capacity_((points + kBlock - 1) / kBlock * kBlock),
        rows_(capacity_ * stride_),
        columns_(capacity_ * stride_),
        gradient_(capacity_ * stride_),
        group_(capacity_),
        weight_(capacity_),
        norm_(capacity_),
        loss_(capacity_ / kBlock) {}

  double run(const T* x, const int64_t* labels, const T* weights,
             const PairwiseMarginOptions& options, T* grad) {
    order_ = sorted_points(labels, weights, points_);
    load(x, labels, weights);
    const int64_t blocks = (count() + kBlock - 1) / kBlock;
    transpose(blocks);
    kernels<T>().different_groups({blocks, dims_, stride_, static_cast<T>(options.alpha),
                                   static_cast<T>(options.neg_weight), rows_.data(),
                                   columns_.data(), group_.data(), weight_.data(),
                                   threads_for(count() * count(), options.threads), loss_.data(),
                                   grad ? gradient_.data() : nullptr});
    double loss = equal_groups();
    for (int64_t b = 0; b < blocks; ++b) loss += loss_.data()[b];
    if (grad != nullptr) unload(grad);
    return loss;
  }

 private:
  static constexpr int64_t kBlock = cpu::kMarginBlock;
  static constexpr int64_t kRow = 64 / static_cast<int64_t>(sizeof(T));

  int64_t count() const { return static_cast<int64_t>(order_.size()); }

  void load(const T* x, const int64_t* labels, const T* weights) {
    rows_.clear();
    gradient_.clear();
    weight_.clear();
    loss_.clear();
    T group = 0;
    for (int64_t n = 0; n < count(); ++n) {
      const int64_t p = order_[static_cast<size_t>(n)];
      if (n > 0 && labels[p] != labels[order_[static_cast<size_t>(n - 1)]]) group += 1;
      double square = 0;
      for (int64_t d = 0; d < dims_; ++d) {
        const T value = x[d * points_ + p];
        if (!std::isfinite(value)) {
          fail("x is " + std::to_string(value) + " in dimension " + std::to_string(d) +
               " of point " + std::to_string(p) + ", expected finite numbers");
        }
        square += static_cast<double>(value) * static_cast<double>(value);
      }
      const double norm = std::sqrt(square);
      const bool direction = norm > 1e-12;
      for (int64_t d = 0; d < dims_; ++d) {
        rows_.data()[n * stride_ + d] =
            direction ? static_cast<T>(static_cast<double>(x[d * points_ + p]) / norm) : T(0);
      }
      norm_.data()[n] = direction ? static_cast<T>(norm) : T(0);
      group_.data()[n] = group;
      weight_.data()[n] = weights[p];
    }
    for (int64_t n = count(); n < capacity_; ++n) group_.data()[n] = group;
  }

  void transpose(int64_t blocks) {
    for (int64_t b = 0; b < blocks; ++b) {
      const T* from = rows_.data() + b * kBlock * stride_;
      T* to = columns_.data() + b * kBlock * stride_;
      for (int64_t d = 0; d < stride_; ++d) {
        for (int64_t p = 0; p < kBlock; ++p) to[d * kBlock + p] = from[p * stride_ + d];
      }
    }
  }

  /// Sum of w_i w_j (1 - s_ij) over a group = ((sum w)^2 - |sum w x|^2) / 2, and its gradient
  /// -w_i sum w x. Zero vectors: their pair with themselves is not in the loss.
  double equal_groups() {
    double loss = 0;
    std::vector<double> sum(static_cast<size_t>(dims_));
    for (int64_t first = 0, end = 0; first < count(); first = end) {
      std::fill(sum.begin(), sum.end(), 0.0);
      double mass = 0, own = 0, square = 0;
      for (end = first; end < count() && group_.data()[end] == group_.data()[first]; ++end) {
        const double w = static_cast<double>(weight_.data()[end]);
        double length = 0;
        mass += w;
        for (int64_t d = 0; d < dims_; ++d) {
          const double value = static_cast<double>(rows_.data()[end * stride_ + d]);
          sum[static_cast<size_t>(d)] += w * value;
          length += value * value;
        }
        own += w * w * (1 - length);  // of rounding, or of a zero vector
      }
      for (const double s : sum) square += s * s;
      loss += std::max(0.0, (mass * mass - square - own) / 2);
      for (int64_t n = first; n < end; ++n) {
        for (int64_t d = 0; d < dims_; ++d) {
          T& g = gradient_.data()[n * stride_ + d];
          g -= static_cast<T>(static_cast<double>(weight_.data()[n]) * sum[static_cast<size_t>(d)]);
        }
      }
    }
    return loss;
  }

  /// Through the normalisation, (g - x (x . g)) / |x|, to the points' own places.
  void unload(T* grad) {
    std::fill(grad, grad + dims_ * points_, T(0));
    for (int64_t n = 0; n < count(); ++n) {
      const T* x = rows_.data() + n * stride_;
      const T* g = gradient_.data() + n * stride_;
      const T norm = norm_.data()[n];
      double along = 0;
      for (int64_t d = 0; d < dims_; ++d)
        along += static_cast<double>(x[d]) * static_cast<double>(g[d]);
      if (!(norm > 0)) continue;
      for (int64_t d = 0; d < dims_; ++d) {
        grad[d * points_ + order_[static_cast<size_t>(n)]] =
            static_cast<T>((static_cast<double>(g[d]) - static_cast<double>(x[d]) * along) /
                           static_cast<double>(norm));
      }
    }
  }

  int64_t dims_, stride_, points_, capacity_;
  Buffer<T> rows_, columns_, gradient_, group_, weight_, norm_;
  Buffer<double> loss_;
  std::vector<int64_t> order_;
};

}  // namespace

void check_pairwise_margin(int64_t batch, int64_t dims, int64_t points,
                           const PairwiseMarginOptions& options) {
  constexpr int64_t kMost = int64_t{1} << 31, kMostPoints = int64_t{1} << 24;  // groups as floats
  const bool fits = batch >= 1 && batch <= kMost && dims >= 1 && dims <= kMost && points >= 1 &&
                    points <= kMostPoints;
  if (!fits) {
    fail("x has shape [" + std::to_string(batch) + ", " + std::to_string(dims) + ", " +
         std::to_string(points) + "], expected [batch, dims, 1..2^24 points]");
  }
  if (!(options.alpha >= 0 && options.alpha <= 1)) {
    fail("alpha is " + std::to_string(options.alpha) + ", expected a number in [0, 1]");
  }
  if (!(options.neg_weight >= 0 && std::isfinite(options.neg_weight))) {
    fail("neg_weight is " + std::to_string(options.neg_weight) + ", expected a finite number >= 0");
  }
}

template <class T>
void pairwise_margin_loss(const T* x, const int64_t* labels, const T* weights, int64_t batch,
                          int64_t dims, int64_t points, const PairwiseMarginOptions& options,
                          double* loss, T* grad) {
  if (x == nullptr || labels == nullptr || weights == nullptr || loss == nullptr)
    fail("x, labels, weights or loss has no data");
  check_pairwise_margin(batch, dims, points, options);
  Item<T> item(dims, points);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t plane = b * dims * points;
    loss[b] = item.run(x + plane, labels + b * points, weights + b * points, options,
                       grad == nullptr ? nullptr : grad + plane);
  }
}

template void pairwise_margin_loss<float>(const float*, const int64_t*, const float*, int64_t,
                                          int64_t, int64_t, const PairwiseMarginOptions&, double*,
                                          float*);
template void pairwise_margin_loss<double>(const double*, const int64_t*, const double*, int64_t,
                                           int64_t, int64_t, const PairwiseMarginOptions&, double*,
                                           double*);

}  // namespace mrfcore
