// SPDX-License-Identifier: Apache-2.0
//
// Filter flow (predictive filter flow, Eq 6.1): every pixel has a filter of its own, all channels
// of a pixel share it.
//
//   out[b, c, y, x] = sum_p w[b, p, y, x] image[b, c, y + u_p, x + v_p]
//
// p = 0 .. side^2 - 1 counts the taps row by row: u_p = p / side - (side - 1) / 2,
// v_p = p % side - (side - 1) / 2. An odd side is centred, an even one reaches from
// -(side / 2 - 1) to side / 2. The weights w are the filters as they are, or their softmax over
// the taps. Arrays are contiguous, [batch, channels, height, width], filters
// [batch, side^2, height, width]. Results do not depend on threads or instruction set.
#pragma once

#include <cstdint>

namespace mrfcore {

/// How filters are stored; everything else is double beside Float64, float beside the others.
enum class FilterType { Float32, Float64, BFloat16, Float16 };

/// What image[y, x] is outside the image. Reflect does not repeat the border pixel, and needs an
/// image larger than the reach of the filters, side / 2.
enum class FlowPadding { Zeros, Replicate, Reflect };

struct FilterFlowProblem {
  int64_t batch = 0, channels = 0, height = 0, width = 0;  ///< batch and channels may be 0
  int64_t side = 1;                                        ///< k, 1..31
  const void* filters = nullptr;
  FilterType type = FilterType::Float32;
  bool softmax = false;
  FlowPadding padding = FlowPadding::Zeros;
  int threads = 0;  ///< 0: MRFCORE_NUM_THREADS, else OpenMP's default
};

/// The weights of pixel (y, x) in a softmax are exp(filters - peak) * scale: [batch, height, width]
/// each, written by filter_flow and read by the passes back. Unused, may be null, without softmax.
template <class T>
struct SoftmaxStatistics {
  T* peak = nullptr;
  T* scale = nullptr;
};

/// Writes `out` and, unless it is null, the expected flow [batch, 2, height, width]: the mean of
/// (v, u), x first, under the weights. Filters are read once. Throws std::invalid_argument, naming
/// the argument, where sizes, types or pointers do not fit.
template <class T>
void filter_flow(const FilterFlowProblem& problem, const T* image, T* out, T* flow = nullptr,
                 SoftmaxStatistics<T> statistics = {});

/// The transposed operator: out[y, x] = sum of w_p[y', x'] image[y', x'] over all y', x', p whose
/// tap reads pixel (y, x). It is the gradient of filter_flow with respect to its image.
template <class T>
void filter_flow_transpose(const FilterFlowProblem& problem, const T* image,
                           SoftmaxStatistics<const T> statistics, T* out);

/// What filter_flow gave and what came back for it.
template <class T>
struct FilterFlowGradients {
  const T* out = nullptr;  ///< read with softmax only
  const T* grad_out = nullptr;
  const T* flow = nullptr;       ///< read with softmax only
  const T* grad_flow = nullptr;  ///< may be null
};

/// The gradient of filter_flow with respect to the filters, in their type.
template <class T>
void filter_flow_filter_gradient(const FilterFlowProblem& problem, const T* image,
                                 SoftmaxStatistics<const T> statistics,
                                 const FilterFlowGradients<T>& gradients, void* grad_filters);

}  // namespace mrfcore
