// SPDX-License-Identifier: Apache-2.0
// The CPU's part in coarser grids and in the fusion of labellings.
#include <algorithm>

#include "core/directions.hpp"
#include "ops/cpu_backend.hpp"
#include "ops/fusion.hpp"

namespace mrfcore {
namespace {

/// Energy of a pixel's unary and edges with the labels of `to` less those of `from`, in double.
template <class T>
class Changes {
 public:
  Changes(const Item<T>& item, const int32_t* from, const int32_t* to)
      : item_(item), from_(from), to_(to) {}

  double of(int64_t y, int64_t x) const {
    const cpu::GridShape& s = item_.shape;
    const int64_t i = y * s.width + x;
    if (from_[i] == to_[i]) return 0.0;
    const T* unary = item_.unary + i * s.stride;
    double sum = static_cast<double>(unary[to_[i]]) - static_cast<double>(unary[from_[i]]);
    for (int r = 0; r < s.connectivity; ++r) {
      const core::Direction d = core::direction(r);
      const int64_t ny = y + d.dy, nx = x + d.dx;
      if (ny < 0 || ny >= s.height || nx < 0 || nx >= s.width) continue;
      const int64_t j = ny * s.width + nx;
      // An edge whose both ends change is its owner's to count.
      if (core::is_backward(r) && from_[j] != to_[j]) continue;
      sum += core::is_backward(r) ? edge(core::pair_of(r), j, i) : edge(core::pair_of(r), i, j);
    }
    return sum;
  }

 private:
  double edge(int pair, int64_t owner, int64_t other) const {
    const Potential& v = item_.problem.pairwise;
    double w = static_cast<double>(item_.weights.scale);
    if (item_.weights.per_edge != nullptr)
      w *= static_cast<double>(item_.weights.per_edge[pair * item_.shape.pixels() + owner]);
    return w * (v(to_[owner], to_[other]) - v(from_[owner], from_[other]));
  }

  const Item<T>& item_;
  const int32_t* from_;
  const int32_t* to_;
};

/// The up to 2 x 2 nodes that one of the coarser grid stands for.
struct Block {
  int64_t begin_y, end_y, begin_x, end_x;

  Block(const cpu::GridShape& fine, int64_t y, int64_t x)
      : begin_y(2 * y),
        end_y(std::min(2 * y + 2, fine.height)),
        begin_x(2 * x),
        end_x(std::min(2 * x + 2, fine.width)) {}
};

template <class T>
void coarse_node(const CoarseArgs<T>& a, int64_t y, int64_t x) {
  const int64_t n = a.fine.stride;
  const Block block(a.fine, y, x);
  T* to = a.coarse_unary + (y * a.coarse.width + x) * n;
  int nodes = 0;
  for (int64_t fy = block.begin_y; fy < block.end_y; ++fy) {
    for (int64_t fx = block.begin_x; fx < block.end_x; ++fx, ++nodes) {
      const T* from = a.fine_unary + (fy * a.fine.width + fx) * n;
      for (int64_t l = 0; l < n; ++l) to[l] = nodes == 0 ? from[l] : to[l] + from[l];
    }
  }
  const T share = T(2) / static_cast<T>(nodes);
  for (int64_t l = 0; l < n; ++l) to[l] = std::min(to[l] * share, cpu::kForbidden<T>);
}

/// Mean weight of a block's edges, 0 if none lies inside the image.
template <class T>
T coarse_weight(const CoarseArgs<T>& a, int pair, int64_t y, int64_t x) {
  const core::Direction d = core::direction(2 * pair);
  const Block block(a.fine, y, x);
  const T* from = a.fine_weights + pair * a.fine.pixels();
  T sum = T(0);
  int edges = 0;
  for (int64_t fy = block.begin_y; fy < block.end_y; ++fy) {
    for (int64_t fx = block.begin_x; fx < block.end_x; ++fx) {
      const int64_t ny = fy + d.dy, nx = fx + d.dx;
      if (ny >= a.fine.height || nx < 0 || nx >= a.fine.width) continue;
      sum += from[fy * a.fine.width + fx];
      ++edges;
    }
  }
  return edges > 0 ? sum / static_cast<T>(edges) : T(0);
}

}  // namespace

template <class T>
void CpuBackend<T>::fuse(const Item<T>& item, int32_t* labels, const int32_t* proposal) {
  const cpu::GridShape& s = item.shape;
  Buffer<double> change(s.pixels());
  const Changes<T> changes(item, labels, proposal);
#pragma omp parallel for num_threads(item.threads) if (item.threads > 1)
  for (int64_t y = 0; y < s.height; ++y) {
    for (int64_t x = 0; x < s.width; ++x) change.data()[y * s.width + x] = changes.of(y, x);
  }
  fuse_regions(s, proposal, change.data(), labels);
}

template <class T>
void CpuBackend<T>::coarsen(const CoarseArgs<T>& a) {
#pragma omp parallel for num_threads(threads_) if (threads_ > 1)
  for (int64_t y = 0; y < a.coarse.height; ++y) {
    const bool stopped = cpu::should_stop(a.control);
    for (int64_t x = 0; x < a.coarse.width && !stopped; ++x) {
      coarse_node(a, y, x);
      if (a.fine_weights == nullptr) continue;
      for (int pair = 0; pair < a.fine.connectivity / 2; ++pair) {
        a.coarse_weights[pair * a.coarse.pixels() + y * a.coarse.width + x] =
            coarse_weight(a, pair, y, x);
      }
    }
  }
}

/// Nodes without a predecessor get messages of a node without one, which are zero.
template <class T>
void CpuBackend<T>::prolong(const cpu::GridShape& fine, const void* coarse_messages, void* messages,
                            MessageDtype storage, cpu::Control* control) {
  const int64_t row = fine.stride * message_bytes(storage, sizeof(T));
  const int64_t coarse_width = (fine.width + 1) / 2;
  const auto* from = static_cast<const std::byte*>(coarse_messages);
  auto* to = static_cast<std::byte*>(messages);
#pragma omp parallel for num_threads(threads_) if (threads_ > 1)
  for (int64_t y = 0; y < fine.height; ++y) {
    const bool stopped = cpu::should_stop(control);
    for (int64_t x = 0; x < fine.width && !stopped; ++x) {
      std::copy_n(from + (y / 2 * coarse_width + x / 2) * row, row,
                  to + (y * fine.width + x) * row);
    }
  }
}

#define MRF_INSTANTIATE(T)                                                                      \
  template void CpuBackend<T>::fuse(const Item<T>&, int32_t*, const int32_t*);                  \
  template void CpuBackend<T>::coarsen(const CoarseArgs<T>&);                                   \
  template void CpuBackend<T>::prolong(const cpu::GridShape&, const void*, void*, MessageDtype, \
                                       cpu::Control*);
MRF_INSTANTIATE(float)
MRF_INSTANTIATE(double)
#undef MRF_INSTANTIATE

}  // namespace mrfcore
