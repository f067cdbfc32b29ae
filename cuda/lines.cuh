// SPDX-License-Identifier: Apache-2.0
// What the minimisation of whole lines needs to know (cpp/cpu/minimize_lines.cpp).
#pragma once

#include "kernels.hpp"
#include "neighbours.cuh"

namespace mrfcore::cuda {

template <class T>
struct LineParameters {
  cpu::LineArgs<T> args;
  cpu::MinConvolutionPlan<T> plan;
  Batch batch;
  Neighbourhood near;
  int colour, colours;
  int64_t nodes;  ///< of a line
  int64_t lines;  ///< of the colour

  LineParameters(const cpu::LineArgs<T>& a, const Batch& b, int of_colour)
      : args(a),
        plan(*a.plan),
        batch(b),
        near(a.shape),
        colour(of_colour),
        colours(cpu::line_colours(a.shape.connectivity)),
        nodes(a.pair == 0 ? a.shape.width : a.shape.height) {
    const int64_t all = a.pair == 0 ? a.shape.height : a.shape.width;
    lines = (all - colour + colours - 1) / colours;
  }

  __device__ __forceinline__ int64_t y(int64_t line, int64_t node) const {
    return args.pair == 0 ? colour + line * colours : node;
  }
  __device__ __forceinline__ int64_t x(int64_t line, int64_t node) const {
    return args.pair == 0 ? node : colour + line * colours;
  }
  /// Of the edge that the owner has with the next node of its line.
  __device__ __forceinline__ T weight(int64_t item, int64_t owner) const {
    return near.weight(of_item(args.weights, item, batch.edge_weights), 2 * args.pair, owner);
  }
  /// Whether a node has a neighbour in direction r off its line.
  __device__ __forceinline__ bool fixed(int r, int64_t at_y, int64_t at_x) const {
    return core::pair_of(r) != args.pair && near.inside(r, at_y, at_x);
  }
};

/// Labels to begin with may be the caller's, whom nobody has checked: no look outside V.
__device__ __forceinline__ int32_t existing_label(int32_t label, int labels) {
  return label < 0 ? 0 : (label < labels ? label : labels - 1);
}

/// Lines of one colour, for more labels than a warp holds.
template <class T>
int wide_lines(const LineParameters<T>& p, Stream stream);

}  // namespace mrfcore::cuda
