// SPDX-License-Identifier: Apache-2.0
// Messages to start from: a smooth labelling needs many iterations to travel across an image, and
// few across one of an eighth of its size.
//
// A node of the coarser grid stands for 2 x 2 nodes that have the same label. Its unary is the sum
// of theirs and its edges are two of theirs each; halved, the edges keep their weight and messages
// are those of single edges, which the finer grid starts from. At the border, where fewer nodes
// make up one, their mean counts as if there were four. Any messages reparametrise the energy
// (Eq 2.42), so where the solver ends and its bound stay as good as they are.
#pragma once

#include <vector>

#include "ops/item.hpp"

namespace mrfcore {

/// Fills `messages` from up to `grids` coarser grids (TRWP's sweeps, Eq 3.10); false where the
/// image is too small for one, messages are as they were then.
template <class T>
bool start_from_coarse(Item<T>& item, const cpu::MinConvolutionPlan<T>& plan, int grids,
                       const std::vector<void*>& messages);

/// Bytes that this takes from the item's memory, for `items` items of this shape, with elements of
/// so many bytes, those of messages apart.
int64_t coarse_bytes(const cpu::GridShape& shape, int grids, bool edge_weights, int64_t items,
                     int64_t element, int64_t message_element);

/// Grids of half the size each, finest first, without the given one.
std::vector<cpu::GridShape> coarser_shapes(const cpu::GridShape& shape, int grids);

}  // namespace mrfcore
