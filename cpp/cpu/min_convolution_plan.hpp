// SPDX-License-Identifier: Apache-2.0
// How the min-convolution out(l) = min_m h(m) + w V(m, l) of one potential is computed.
#pragma once

#include <cstdint>

namespace mrfcore::cpu {

enum class MinConvolutionKind {
  Potts,            ///< O(L)
  SGMPenalty,       ///< O(L)
  TruncatedLinear,  ///< O(L log min(t, L)) in vectors: doubling steps instead of the two sequential
                    ///< scans
  Shift,            ///< O(L band): any V(|l - m|) that is constant beyond `band`
  Envelope,         ///< O(L): lower envelope of parabolas (Felzenszwalb & Huttenlocher 2012)
  Table,            ///< O(L^2): anything
  SoftTable,        ///< O(L^2): soft minimum (log-sum-exp) instead of the minimum
};

/// Filled by ops/plan.hpp; kernels only read it.
template <class T>
struct MinConvolutionPlan {
  MinConvolutionKind kind;
  int labels;
  int64_t stride;  ///< padded labels per row
  int64_t guard;   ///< labels of kForbidden kept on either side of an h row, a multiple of the
                   ///< vector length
  T p1;            ///< SGMPenalty
  T cap;  ///< largest V: no label costs more than min h + w cap. Keeps padded labels, which
          ///< are too far from all others, as cheap as real ones
  int doubling_steps;  ///< TruncatedLinear
  int band;            ///< Shift: largest |l - m| with its own value
  const T* shift;      ///< Shift: V(0..band)
  const T* table;      ///< Table: V(m, l) at [m * stride + l], padding columns repeat the last one
  const T* table_t;    ///< Table: V(l, m) at [m * stride + l], for directions against the pair's
  bool unit_weight;    ///< Table: the weights are already in the table
  T temperature;       ///< SoftTable

  int64_t row() const { return stride + 2 * guard; }  ///< elements of a guarded row
};

}  // namespace mrfcore::cpu
