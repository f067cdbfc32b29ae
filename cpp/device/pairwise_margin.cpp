// SPDX-License-Identifier: Apache-2.0
// The pairwise margin loss on a GPU: checks and memory.

// First: its table takes addresses of kernels, some of which are called as what is declared below.
#include "device/point_memory.hpp"

#include "mrfcore/cuda_mean_shift.hpp"
#include "ops/pairwise_margin.hpp"

namespace mrfcore::cuda {
namespace {

template <class T>
struct MarginMemory {
  T *rows, *length, *gradient = nullptr, *parts = nullptr;
  double* loss;

  MarginMemory(const kernels::PointLayout& layout, bool with_gradient, Pieces& pieces) {
    rows = pieces.take<T>(layout.rows_size());
    length = pieces.take<T>(layout.numbers());
    loss = pieces.take<double>(layout.batch * layout.blocks * layout.splits());
    if (!with_gradient) return;
    gradient = pieces.take<T>(layout.rows_size());
    parts = pieces.take<T>(layout.splits() * layout.rows_size());
  }
};

}  // namespace

template <class T>
int64_t pairwise_margin_workspace_bytes(int64_t batch, int64_t dims, int64_t points,
                                        bool gradient) {
  check_pairwise_margin(batch, dims, points, {});
  Pieces pieces;
  MarginMemory<T>(point_layout<T>({batch, dims, points}), gradient, pieces);
  return pieces.bytes();
}

template <class T>
void pairwise_margin_loss(const T* x, const int64_t* labels, const T* weights, int64_t batch,
                          int64_t dims, int64_t points, const PairwiseMarginOptions& options,
                          double* loss, T* grad, const Queue& queue) {
  check_pairwise_margin(batch, dims, points, options);
  expect_workspace(queue, pairwise_margin_workspace_bytes<T>(batch, dims, points, grad != nullptr));
  expect_memory("x", x);
  expect_memory("labels", labels);
  expect_memory("weights", weights);
  expect_memory("loss", loss);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  const Embeddings<T>& run = functions.embeddings<T>();
  const kernels::PointLayout layout = point_layout<T>({batch, dims, points});
  Pieces pieces(queue);
  const MarginMemory<T> m(layout, grad != nullptr, pieces);
  check(functions, run.load_points(layout, x, nullptr, m.rows, queue.stream), "loading points");
  check(functions, run.normalise_points(layout, weights, m.rows, m.length, queue.stream),
        "norms of points");
  check(functions,
        run.pairwise_margin(layout,
                            {static_cast<T>(options.alpha), static_cast<T>(options.neg_weight),
                             m.rows, labels, weights, m.loss, m.gradient, m.parts},
                            queue.stream),
        "pairs of points");
  check(functions,
        functions.sum_rows(m.loss, layout.blocks * layout.splits(), batch, loss, queue.stream),
        "sums of costs");
  if (grad == nullptr) return;
  check(functions, run.through_norm(layout, m.rows, m.length, m.gradient, queue.stream),
        "the gradient of norms");
  check(functions, run.unload_points(layout, m.gradient, nullptr, grad, queue.stream),
        "storing gradients");
}

#define MRF_INSTANTIATE(T)                                                                    \
  template int64_t pairwise_margin_workspace_bytes<T>(int64_t, int64_t, int64_t, bool);       \
  template void pairwise_margin_loss<T>(const T*, const int64_t*, const T*, int64_t, int64_t, \
                                        int64_t, const PairwiseMarginOptions&, double*, T*,   \
                                        const Queue&)
MRF_INSTANTIATE(float);
MRF_INSTANTIATE(double);
#undef MRF_INSTANTIATE

}  // namespace mrfcore::cuda
