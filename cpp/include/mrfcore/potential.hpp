// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace mrfcore {

/// Pairwise functions V(l, m); theta_ij(l, m) = w_ij * V(l, m) (Eq 3.1).
enum class PotentialKind {
  Potts,
  TruncatedLinear,
  TruncatedQuadratic,
  SGMPenalty,
  Huber,
  Cauchy,
  Table
};

/// A pairwise function. Make one with the named constructors; they throw std::invalid_argument on
/// bad parameters.
class Potential {
 public:
  static constexpr double kNoTruncation = std::numeric_limits<double>::infinity();

  /// [l != m]
  static Potential potts();
  /// min(|l - m|, truncation)
  static Potential truncated_linear(double truncation = kNoTruncation);
  /// min((l - m)^2, truncation)
  static Potential truncated_quadratic(double truncation = kNoTruncation);
  /// 0, p1, p2 for |l - m| = 0, 1, >= 2, with 0 <= p1 <= p2 (Eq 3.2)
  static Potential sgm_penalty(double p1, double p2);
  /// d^2 / 2 up to d = delta, then delta (d - delta / 2)
  static Potential huber(double delta);
  /// scale^2 / 2 * log(1 + (d / scale)^2)
  static Potential cauchy(double scale);
  /// values[l * labels + m] = V(l, m), finite, asymmetric allowed: for the edge p = (y, x), q = (y
  /// + dy, x + dx) of a canonical pair the term is V(x_p, x_q).
  static Potential table(std::vector<double> values, int64_t labels);

  PotentialKind kind() const { return kind_; }
  double a() const { return a_; }  ///< first parameter: truncation, p1, delta, scale
  double b() const { return b_; }  ///< second parameter: p2
  const std::vector<double>& values() const { return values_; }
  int64_t labels() const { return labels_; }  ///< of a table; 0 for all others
  bool symmetric() const { return symmetric_; }

  /// V(l, m)
  double operator()(int64_t l, int64_t m) const;

 private:
  Potential() = default;

  PotentialKind kind_ = PotentialKind::Potts;
  double a_ = 0.0;
  double b_ = 0.0;
  int64_t labels_ = 0;
  bool symmetric_ = true;
  std::vector<double> values_;
};

}  // namespace mrfcore
