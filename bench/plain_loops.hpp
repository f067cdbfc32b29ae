// SPDX-License-Identifier: Apache-2.0
// The published algorithms as plain scalar loops: the yardstick of bench/ratios.cpp.
//
// They do what the listings say and what their authors' public CPU code does: theta and the
// messages of all directions are summed again for every pair of labels, inside the L^2 loop. One
// thread, single precision, no blocking, no vector code; compiled -O3 by itself
// (bench/CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mrfcore::bench {

/// One grid with a constant edge weight. Volumes are [height, width, labels], labels contiguous.
struct PlainProblem {
  std::size_t height;
  std::size_t width;
  std::size_t labels;
  int directions;      ///< 4, 8 or 16, canonical order
  const float* unary;  ///< one volume
  /// V [L, L], entry [lambda, mu] for label lambda at the node and mu at its predecessor:
  /// contiguous where the inner loop walks. Even directions come from the edge's first node, so
  /// theirs is the transpose of V(x_p, x_q).
  const float* even_table;
  const float* odd_table;
  float weight;

  std::size_t volume() const { return height * width * labels; }
};

/// One iteration of TRWP, Alg 2, without storing the arg-mins (nothing is differentiated here).
/// Line 7 of the listing prints m^r where Eq 3.10 has the message of the opposite direction; the
/// equation is right. messages: [directions] volumes, zero before the first iteration.
void plain_trwp_iteration(const PlainProblem& problem, float rho, float* messages);

/// One iteration of ISGMR, Alg 1: reads `messages`, writes `fresh`; the caller swaps them. Both are
/// [directions] volumes, zero before the first iteration.
void plain_isgmr_iteration(const PlainProblem& problem, const float* messages, float* fresh);

/// SGM, Eq 3.3: paths, [directions] volumes, receive L_r; a scanline's head is its own unary.
void plain_sgm(const PlainProblem& problem, float* paths);

/// One iteration, forward and backward, of sequential TRW (Kolmogorov 2006, section 4.1): nodes in
/// raster order send to their neighbours ahead, then the other way. A node sums its messages once,
/// as published. One gamma for all nodes, as the library has. messages: [directions] volumes, zero
/// before the first iteration.
void plain_trws_iteration(const PlainProblem& problem, float* messages);

/// One iteration of mean field, all nodes at once: beliefs = softmax(-costs), then costs = theta +
/// their expectation of the edges' terms. Both are one volume; costs start as theta.
void plain_mean_field_iteration(const PlainProblem& problem, float* costs, float* beliefs);

/// One sweep of iterated conditional modes in the library's order, a colour of nodes after the
/// other, so that both give the same labels. labels: [height, width].
void plain_icm_iteration(const PlainProblem& problem, int32_t* labels);

/// Eq 3.7, 3.8: labels[i] = arg-min of (unary +) all volumes, the lowest label on ties. `unary` may
/// be null, as SGM's L_r contain it; so may volumes.
void plain_labels(const PlainProblem& problem, const float* unary, const float* volumes,
                  int32_t* labels);

/// V transposed: what PlainProblem::even_table wants, given V(x_p, x_q) row by row.
std::vector<float> transposed(const std::vector<float>& table, std::size_t labels);

}  // namespace mrfcore::bench
