// SPDX-License-Identifier: Apache-2.0
// Labels read off messages node by node, in raster order from one of the image's corners: what
// gives TRW-S its low energies. Rows are pipelined as in trws.cpp.
#include "cpu/kernels.hpp"
#include "cpu/message_rows.hpp"
#include "cpu/neighbours.hpp"
#include "cpu/row_pipeline.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// Conditioned labelling: neighbours already labelled are fixed, the others speak through their
/// messages.
template <class T, class M>
void label_node(const LabellingArgs<T>& a, const bool* before, int64_t y, int64_t x, T* row) {
  const GridShape& s = a.shape;
  const int64_t pixel = y * s.width + x, at = pixel * s.stride;
  const Neighbours near(s, y, x);
  for (int64_t l = 0; l < s.stride; l += kLanes<T>) store(row + l, load(a.unary + at + l));
  for (int r = 0; r < s.connectivity; ++r) {
    if (near.inside[r] && before[r])
      add_edge_costs(a, near, pixel, r, a.labels[pixel + near.offset[r]], row);
  }
  for (int r = 0; r < s.connectivity; ++r) {
    if (!near.inside[r] || before[r]) continue;
    const M* m = static_cast<const M*>(a.messages[core::opposite(r)]) + at;  // from the neighbour
    for (int64_t l = 0; l < s.stride; l += kLanes<T>)
      store(row + l, load(row + l) + load_message<T>(m + l));
  }
  a.labels[pixel] = first_minimum(row, s.labels, s.stride);
}

}  // namespace

template <class T>
void trws_labels(const LabellingArgs<T>& a) {
  bool before[core::kMaxDirections] = {};
  for (int r = 0; r < a.shape.connectivity; ++r) before[r] = comes_before(a.corner, r);
  with_message_type<T>(a.storage, [&]<class M>() {
    row_pipeline(a.shape, a.corner.bottom, a.threads, a.control, [&](ThreadMemory& memory) {
      T* row = static_cast<T*>(memory.reserve(a.shape.stride * static_cast<int64_t>(sizeof(T))));
      return [&a, &before, row](int64_t y, int64_t begin, int64_t end) {
        for (int64_t x = begin; x < end; ++x)
          label_node<T, M>(a, before, y, a.corner.right ? a.shape.width - 1 - x : x, row);
      };
    });
  });
}

template void trws_labels<float>(const LabellingArgs<float>&);
template void trws_labels<double>(const LabellingArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
