// SPDX-License-Identifier: Apache-2.0
#include "ops/coarse.hpp"

#include <algorithm>

#include "ops/schedule.hpp"

namespace mrfcore {
namespace {

/// Iterations on each of the coarser grids.
constexpr int kIterations = 5;

/// A grid of half the size of another.
template <class T>
class CoarseGrid {
 public:
  CoarseGrid(Item<T>& item, const cpu::GridShape& fine, const T* fine_unary, const T* fine_weights,
             const cpu::GridShape& shape)
      : item_(item), shape_(shape), unary_(new_volume()) {
    if (fine_weights != nullptr)
      per_edge_ = item.template zeroed<T>(item.items * item.problem.pairs() * shape.pixels());
    item.backend.coarsen(
        {fine, shape, fine_unary, unary_.data(), fine_weights, per_edge_.data(), item.control});
  }

  const cpu::GridShape& shape() const { return shape_; }
  const T* unary() const { return unary_.data(); }
  const T* per_edge() const { return per_edge_.data(); }

  /// Messages are zero, or those of the next coarser grid.
  void solve(const cpu::MinConvolutionPlan<T>& plan, CoarseGrid* coarser) {
    for (int r = 0; r < shape_.connectivity; ++r) {
      volumes_.push_back(item_.new_messages(shape_));
      messages_.push_back(volumes_.back().data());
    }
    if (coarser != nullptr) coarser->hand_on(shape_, messages_);
    sum_ = new_volume();
    item_.backend.gather({shape_, unary_.data(), messages_.data(), shape_.connectivity, sum_.data(),
                          nullptr, nullptr, item_.threads, item_.control,
                          item_.options.message_dtype});
    for (int k = 0; k < kIterations; ++k) {
      for (int pair = 0; pair < shape_.connectivity / 2; ++pair) sweep(plan, pair);
    }
  }

  /// Gives its messages to a finer grid and its memory back.
  void hand_on(const cpu::GridShape& fine, const std::vector<void*>& messages) {
    sum_ = {};
    unary_ = {};
    for (size_t r = 0; r < messages.size(); ++r) {
      item_.backend.prolong(fine, messages_[r], messages[r], item_.options.message_dtype,
                            item_.control);
      volumes_[r] = {};
    }
  }

 private:
  Buffer<T> new_volume() const { return item_.template zeroed<T>(item_.items * shape_.volume()); }

  void sweep(const cpu::MinConvolutionPlan<T>& plan, int pair) {
    cpu::SweepArgs<T> args{};
    args.shape = shape_;
    args.rule = cpu::SweepRule::TRWP;
    args.pair = pair;
    args.weights = {per_edge_.data(), item_.weights.scale};
    args.plan = &plan;
    args.sum = sum_.data();
    args.forward = messages_[static_cast<size_t>(2 * pair)];
    args.backward = messages_[static_cast<size_t>(2 * pair + 1)];
    args.rho = static_cast<T>(trwp_rho(item_.options, shape_.connectivity));
    args.damping = static_cast<T>(item_.options.damping);
    args.threads = item_.threads;
    args.control = item_.control;
    args.storage = item_.options.message_dtype;
    item_.backend.sweep_pair(args);
  }

  Item<T>& item_;
  cpu::GridShape shape_;
  Buffer<T> unary_, per_edge_, sum_;
  std::vector<Buffer<std::byte>> volumes_;
  std::vector<void*> messages_;
};

}  // namespace

std::vector<cpu::GridShape> coarser_shapes(const cpu::GridShape& shape, int grids) {
  constexpr int64_t kSmallest = 16;  // pixels of a coarser grid's shorter side
  std::vector<cpu::GridShape> shapes;
  cpu::GridShape s = shape;
  while (static_cast<int>(shapes.size()) < grids) {
    s.height = (s.height + 1) / 2;
    s.width = (s.width + 1) / 2;
    if (std::min(s.height, s.width) < kSmallest) break;
    shapes.push_back(s);
  }
  return shapes;
}

int64_t coarse_bytes(const cpu::GridShape& shape, int grids, bool edge_weights, int64_t items,
                     int64_t element, int64_t message_element) {
  int64_t bytes = 0;
  for (const cpu::GridShape& s : coarser_shapes(shape, grids)) {
    bytes += items * s.volume() * (2 * element + s.connectivity * message_element);  // unary, sum
    if (edge_weights) bytes += items * s.pixels() * s.connectivity / 2 * element;
  }
  return bytes;
}

template <class T>
bool start_from_coarse(Item<T>& item, const cpu::MinConvolutionPlan<T>& plan, int grids,
                       const std::vector<void*>& messages) {
  const std::vector<cpu::GridShape> shapes = coarser_shapes(item.shape, grids);
  if (shapes.empty()) return false;
  std::vector<CoarseGrid<T>> chain;
  chain.reserve(shapes.size());
  for (const cpu::GridShape& shape : shapes) {
    const bool first = chain.empty();
    const cpu::GridShape& fine = first ? item.shape : chain.back().shape();
    chain.emplace_back(item, fine, first ? item.unary : chain.back().unary(),
                       first ? item.weights.per_edge : chain.back().per_edge(), shape);
  }
  for (size_t i = chain.size(); i-- > 0;)
    chain[i].solve(plan, i + 1 < chain.size() ? &chain[i + 1] : nullptr);
  chain.front().hand_on(item.shape, messages);
  return true;
}

template bool start_from_coarse<float>(Item<float>&, const cpu::MinConvolutionPlan<float>&, int,
                                       const std::vector<void*>&);
template bool start_from_coarse<double>(Item<double>&, const cpu::MinConvolutionPlan<double>&, int,
                                        const std::vector<void*>&);

}  // namespace mrfcore
