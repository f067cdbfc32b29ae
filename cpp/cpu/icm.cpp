// SPDX-License-Identifier: Apache-2.0
// Iterated conditional modes (Eq 2.29-2.32), colour by colour: nodes of a colour share no edge, so
// they may change together and the energy still never rises.
#include "cpu/costs.hpp"
#include "cpu/kernels.hpp"
#include "cpu/neighbours.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// Colours needed: checkerboard for 4 neighbours, 2 x 2 blocks for 8, 3 x 3 for 16.
inline int colours(int connectivity) { return connectivity == 4 ? 2 : (connectivity == 8 ? 4 : 9); }

inline int colour_of(int connectivity, int64_t y, int64_t x) {
  if (connectivity == 4) return static_cast<int>((y + x) & 1);
  const int64_t block = connectivity == 8 ? 2 : 3;
  return static_cast<int>((y % block) * block + x % block);
}

template <class T>
void conditioned_costs(const IcmArgs<T>& a, int64_t y, int64_t x, T* row) {
  const GridShape& s = a.shape;
  const int64_t pixel = y * s.width + x;
  const Neighbours near(s, y, x);
  // Whole vectors: they are loaded as such, and a load waits for stores of other widths.
  for (int64_t l = 0; l < s.stride; l += kLanes<T>)
    store(row + l, load(a.unary + pixel * s.stride + l));
  for (int r = 0; r < s.connectivity; ++r) {
    if (near.inside[r]) add_edge_costs(a, near, pixel, r, a.labels[pixel + near.offset[r]], row);
  }
}

}  // namespace

template <class T>
void icm_sweep(const IcmArgs<T>& a) {
  const GridShape& s = a.shape;
  const int64_t row_bytes = s.stride * static_cast<int64_t>(sizeof(T));
  if (a.costs != nullptr) {  // report only: labels stay as they are
    parallel_strips(s.height, a.threads, a.control, [&](ThreadMemory& memory, int64_t y) {
      T* row = static_cast<T*>(memory.reserve(row_bytes));
      for (int64_t x = 0; x < s.width; ++x) {
        conditioned_costs(a, y, x, row);
        write_costs(row, s.labels, a.costs + (y * s.width + x) * s.labels);
      }
    });
    return;
  }
  for (int colour = 0; colour < colours(s.connectivity); ++colour) {
    parallel_strips(s.height, a.threads, a.control, [&](ThreadMemory& memory, int64_t y) {
      T* row = static_cast<T*>(memory.reserve(row_bytes));
      for (int64_t x = 0; x < s.width; ++x) {
        if (colour_of(s.connectivity, y, x) != colour) continue;
        conditioned_costs(a, y, x, row);
        // Stay put on ties with the present label: moving could cycle for ever.
        int32_t& label = a.labels[y * s.width + x];
        const T lowest = row_min(row, s.stride);
        if (row[label] == lowest) continue;
        int32_t l = 0;
        while (l + 1 < s.labels && row[l] != lowest) ++l;
        label = l;
      }
    });
  }
}

template void icm_sweep<float>(const IcmArgs<float>&);
template void icm_sweep<double>(const IcmArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
