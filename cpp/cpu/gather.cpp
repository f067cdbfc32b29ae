// SPDX-License-Identifier: Apache-2.0
// Costs c = theta + sum of messages in canonical order (Eq 3.7) and their arg-min, lowest label on
// ties (Eq 3.8).
#include "cpu/costs.hpp"
#include "cpu/kernels.hpp"
#include "cpu/message_rows.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

template <class T, class M>
void gather_pixel(const GatherArgs<T>& a, int64_t pixel, T* row) {
  const int64_t n = a.shape.stride;
  const int64_t at = pixel * n;
  for (int64_t l = 0; l < n; l += kLanes<T>) {
    Vec<T> c = load(a.unary + at + l);
    for (int r = 0; r < a.count; ++r)
      c = c + load_message<T>(static_cast<const M*>(a.messages[r]) + at + l);
    store(row + l, c);
  }
  // A message's padding is arbitrary: only the unary's may decide that a padded label is never the
  // minimum.
  for (int64_t l = a.shape.labels; l < n; ++l) row[l] = kForbidden<T> * T(64);
  if (a.sum != nullptr) {
    for (int64_t l = 0; l < n; l += kLanes<T>) store(a.sum + at + l, load(row + l));
  }
  if (a.costs != nullptr) write_costs(row, a.shape.labels, a.costs + pixel * a.shape.labels);
  if (a.labels != nullptr) a.labels[pixel] = first_minimum(row, a.shape.labels, n);
}

}  // namespace

template <class T>
void gather(const GatherArgs<T>& a) {
  with_message_type<T>(a.storage, [&]<class M>() {
    parallel_strips(a.shape.height, a.threads, a.control, [&](ThreadMemory& memory, int64_t y) {
      T* row = static_cast<T*>(memory.reserve(a.shape.stride * static_cast<int64_t>(sizeof(T))));
      for (int64_t x = 0; x < a.shape.width; ++x) gather_pixel<T, M>(a, y * a.shape.width + x, row);
    });
  });
}

template void gather<float>(const GatherArgs<float>&);
template void gather<double>(const GatherArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
