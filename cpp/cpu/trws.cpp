// SPDX-License-Identifier: Apache-2.0
// TRW-S (Kolmogorov 2006, Eq 2.43-2.44): nodes in raster order forward, then backward. Rows are
// pipelined: a node may be processed as soon as the row before it is a few pixels ahead, which
// keeps the sequential result to the bit.
#include "core/scanline.hpp"
#include "cpu/kernels.hpp"
#include "cpu/neighbours.hpp"
#include "cpu/parallel.hpp"
#include "cpu/row_pipeline.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

template <class T>
struct NodeBuffers {
  T* sum;
  T* h;  ///< kGroup guarded rows
  T* message;
  T* scratch;

  NodeBuffers(ThreadMemory& memory, const MinConvolutionPlan<T>& plan) {
    const int64_t h_size = kGroup * plan.row(), message_size = kGroup * plan.stride;
    const int64_t total = plan.stride + h_size + message_size + scratch_size(plan) + 64;
    T* base = static_cast<T*>(memory.reserve(total * static_cast<int64_t>(sizeof(T))));
    message = base;
    sum = message + message_size;
    scratch = sum + plan.stride;
    T* rows = scratch + scratch_size(plan);
    for (int64_t i = 0; i < h_size; ++i) rows[i] = kForbidden<T>;
    prepare_scratch(plan, scratch);
    h = rows + plan.guard;
  }
};

template <class T>
class Pass {
 public:
  Pass(const TrwsArgs<T>& args)
      : a(args),
        convolve(min_convolution<T>(args.plan->kind)),
        gamma(T(1) / static_cast<T>(core::pairs_inside(args.shape.connectivity, args.shape.height,
                                                       args.shape.width))) {}

  /// Sends the messages of one node to the neighbours ahead (behind in the backward pass); returns
  /// what was subtracted.
  double node(int64_t y, int64_t x, NodeBuffers<T>& b) const {
    const int64_t pixel = y * a.shape.width + x;
    const Neighbours near(a.shape, y, x);
    T constant = add_incoming(pixel, b.sum);
    double bound = static_cast<double>(constant);
    int directions[kGroup];
    T w[kGroup];
    int count = 0;
    for (int r = a.backward ? 1 : 0; r < a.shape.connectivity; r += 2) {
      if (!near.inside[r]) continue;
      const int64_t owner = a.backward ? pixel + near.offset[r] : pixel;
      w[count] =
          a.weights.per_edge == nullptr
              ? a.weights.scale
              : a.weights.scale * a.weights.per_edge[core::pair_of(r) * a.shape.pixels() + owner];
      fill_h(a.messages[core::opposite(r)] + pixel * a.shape.stride, b.sum,
             b.h + count * a.plan->row());
      directions[count++] = r;
      if (count == kGroup) {
        bound += send(pixel, near, directions, w, count, b);
        count = 0;
      }
    }
    if (count > 0) bound += send(pixel, near, directions, w, count, b);
    return bound;
  }

 private:
  /// b = theta + incoming messages; in the backward pass minus its minimum, which is returned.
  T add_incoming(int64_t pixel, T* sum) const {
    const int64_t n = a.shape.stride, at = pixel * n;
    for (int64_t l = 0; l < n; l += kLanes<T>) {
      Vec<T> s = load(a.unary + at + l);
      // From behind, then from ahead: the order of the benchmark code that made the published
      // energies.
      for (int r = 0; r < a.shape.connectivity; r += 2) s = s + load(a.messages[r] + at + l);
      for (int r = 1; r < a.shape.connectivity; r += 2) s = s + load(a.messages[r] + at + l);
      store(sum + l, s);
    }
    for (int64_t l = a.shape.labels; l < n; ++l) sum[l] = kForbidden<T>;
    if (!a.backward) return T(0);  // messages lose their minimum anyway
    const T lowest = row_min(sum, n);
    for (int64_t l = 0; l < n; l += kLanes<T>) store(sum + l, load(sum + l) - splat<T>(lowest));
    return lowest;
  }
  void fill_h(const T* reverse, const T* sum, T* h) const {
    for (int64_t l = 0; l < a.shape.stride; l += kLanes<T>) {
      store(h + l, splat<T>(gamma) * load(sum + l) - load(reverse + l));
    }
  }
  double send(int64_t pixel, const Neighbours& near, const int* directions, const T* w, int count,
              NodeBuffers<T>& b) const {
    convolve(*a.plan, a.backward, count, b.h, w, b.message, b.scratch);
    double bound = 0.0;
    for (int g = 0; g < count; ++g) {
      const T* raw = b.message + g * a.plan->stride;
      const T lowest = row_min(raw, a.plan->stride);
      T* out = a.messages[directions[g]] + (pixel + near.offset[directions[g]]) * a.shape.stride;
      for (int64_t l = 0; l < a.shape.stride; l += kLanes<T>)
        store(out + l, load(raw + l) - splat<T>(lowest));
      bound += static_cast<double>(lowest);
    }
    return bound;
  }

  const TrwsArgs<T>& a;
  MinConvolutionFn<T> convolve;
  /// One over the most neighbours that a node has ahead, at every node: only a few border nodes
  /// have a larger 1 / max(ahead, behind) (Kolmogorov 2006), and the published energies use the
  /// same one.
  T gamma;
};

}  // namespace

template <class T>
void trws_pass(const TrwsArgs<T>& a) {
  const Pass<T> pass(a);
  row_pipeline(a.shape, a.backward, a.threads, a.control, [&](ThreadMemory& memory) {
    return [&pass, &a, buffers = NodeBuffers<T>(memory, *a.plan)](int64_t y, int64_t begin,
                                                                  int64_t end) mutable {
      double bound = 0.0;
      for (int64_t x = begin; x < end; ++x)
        bound += pass.node(y, a.backward ? a.shape.width - 1 - x : x, buffers);
      if (a.row_bound != nullptr) a.row_bound[y] += bound;
    };
  });
}

template void trws_pass<float>(const TrwsArgs<float>&);
template void trws_pass<double>(const TrwsArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
