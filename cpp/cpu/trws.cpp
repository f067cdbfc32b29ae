// SPDX-License-Identifier: Apache-2.0
// TRW-S (Kolmogorov 2006, Eq 2.43-2.44): nodes in raster order forward, then backward. Rows are
// pipelined: a node may be processed as soon as the row before it is a few pixels ahead, which
// keeps the sequential result to the bit.
#include "core/scanline.hpp"
#include "cpu/kernels.hpp"
#include "cpu/message.hpp"
#include "cpu/message_rows.hpp"
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

/// One pass over the nodes. M: what messages are kept in.
template <class T, class M>
class Pass {
 public:
  explicit Pass(const TrwsArgs<T>& args)
      : a(args),
        gamma(T(1) / static_cast<T>(core::pairs_inside(args.shape.connectivity, args.shape.height,
                                                       args.shape.width))) {}

  /// Columns begin..end-1 of row y, counted from where the pass starts; returns what was
  /// subtracted.
  double columns(int64_t y, int64_t begin, int64_t end, NodeBuffers<T>& b) const {
    double bound = 0.0;
    const auto each = [&](const auto& sender) {
      for (int64_t x = begin; x < end; ++x)
        bound += node(y, a.backward ? a.shape.width - 1 - x : x, b, sender);
    };
    const auto in_registers = [&]<int NV>() { each(RegisterSender<NV>{*this}); };
    if (!convolves_in_registers(a.plan->kind) ||
        !with_vector_count<kRegisterRow<T>>(a.shape.stride / kLanes<T>, in_registers)) {
      each(StoredSender{*this, min_convolution<T>(a.plan->kind), b});
    }
    return bound;
  }

 private:
  /// An edge to a neighbour that has its turn later.
  struct Edge {
    const M* reverse;  ///< what came the other way
    M* out;
    T w;
  };

  /// Sends the messages of one node to the neighbours ahead (behind in the backward pass).
  template <class Sender>
  double node(int64_t y, int64_t x, NodeBuffers<T>& b, const Sender& sender) const {
    const int64_t pixel = y * a.shape.width + x, at = pixel * a.shape.stride;
    const Neighbours near(a.shape, y, x);
    double bound = static_cast<double>(add_incoming(at, b.sum));
    Edge edges[kGroup];
    int count = 0;
    for (int r = a.backward ? 1 : 0; r < a.shape.connectivity; r += 2) {
      if (!near.inside[r]) continue;
      edges[count++] = {message(core::opposite(r)) + at,
                        message(r) + at + near.offset[r] * a.shape.stride,
                        weight(r, a.backward ? pixel + near.offset[r] : pixel)};
      if (count == kGroup) {
        bound += sender(edges, count, b.sum);
        count = 0;
      }
    }
    return bound + (count > 0 ? sender(edges, count, b.sum) : 0.0);
  }

  M* message(int r) const { return static_cast<M*>(a.messages[r]); }
  T weight(int r, int64_t owner) const {
    if (a.weights.per_edge == nullptr) return a.weights.scale;
    return a.weights.scale * a.weights.per_edge[core::pair_of(r) * a.shape.pixels() + owner];
  }

  /// b = theta + incoming messages; in the backward pass minus its minimum, which is returned.
  T add_incoming(int64_t at, T* sum) const {
    const int64_t n = a.shape.stride;
    Vec<T> lowest = splat(kInfinity<T>);
    for (int64_t l = 0; l < n; l += kLanes<T>) {
      Vec<T> s = load(a.unary + at + l);
      // From behind, then from ahead: the order of the benchmark code that made the published
      // energies.
      for (int r = 0; r < a.shape.connectivity; r += 2)
        s = s + load_message<T>(message(r) + at + l);
      for (int r = 1; r < a.shape.connectivity; r += 2)
        s = s + load_message<T>(message(r) + at + l);
      store(sum + l, s);
      lowest = vmin(lowest, s);
    }
    if (!a.backward) return T(0);  // messages lose their minimum anyway
    const T constant = horizontal_min<T>(lowest);
    for (int64_t l = 0; l < n; l += kLanes<T>) store(sum + l, load(sum + l) - splat<T>(constant));
    return constant;
  }

  /// What an edge's reverse message is subtracted from, before it is convolved (Eq 2.43).
  Vec<T> share(const T* sum, int64_t l) const { return splat<T>(gamma) * load(sum + l); }

  template <class Message>
  static double store_normalised(const Message& sent, M* out) {
    const T lowest = sent.lowest();
    sent.each(
        [&](int64_t l, Vec<T> raw) { keep_message<T>(out + l, Vec<T>(raw - splat<T>(lowest))); });
    return static_cast<double>(lowest);
  }

  /// Any potential.
  struct StoredSender {
    const Pass& pass;
    MinConvolutionFn<T> convolve;
    const NodeBuffers<T>& b;

    double operator()(const Edge* edges, int count, const T* sum) const {
      const MinConvolutionPlan<T>& plan = *pass.a.plan;
      T w[kGroup];
      for (int g = 0; g < count; ++g) {
        T* h = b.h + g * plan.row();
        for (int64_t l = 0; l < plan.stride; l += kLanes<T>)
          store(h + l, pass.share(sum, l) - load_message<T>(edges[g].reverse + l));
        w[g] = edges[g].w;
      }
      convolve(plan, pass.a.backward, count, b.h, w, b.message, b.scratch);
      double bound = 0.0;
      for (int g = 0; g < count; ++g) {
        bound += store_normalised(StoredMessage<T>(b.message + g * plan.stride, plan.stride),
                                  edges[g].out);
      }
      return bound;
    }
  };

  /// Rows of NV vectors, potentials of convolves_in_registers().
  template <int NV>
  struct RegisterSender {
    const Pass& pass;

    double operator()(const Edge* edges, int count, const T* sum) const {
      double bound = 0.0;
      for (int g = 0; g < count; ++g) {
        const M* reverse = edges[g].reverse;
        const RegisterRow<T, NV> h(
            [&](int64_t l) { return pass.share(sum, l) - load_message<T>(reverse + l); });
        bound +=
            store_normalised(RegisterMessage<T, NV>(*pass.a.plan, h, edges[g].w), edges[g].out);
      }
      return bound;
    }
  };

  const TrwsArgs<T>& a;
  /// One over the most neighbours that a node has ahead, at every node: only a few border nodes
  /// have a larger 1 / max(ahead, behind) (Kolmogorov 2006), and the published energies use the
  /// same one.
  T gamma;
};

}  // namespace

template <class T>
void trws_pass(const TrwsArgs<T>& a) {
  with_message_type<T>(a.storage, [&]<class M>() {
    const Pass<T, M> pass(a);
    row_pipeline(a.shape, a.backward, a.threads, a.control, [&](ThreadMemory& memory) {
      return [&pass, &a, buffers = NodeBuffers<T>(memory, *a.plan)](int64_t y, int64_t begin,
                                                                    int64_t end) mutable {
        const double bound = pass.columns(y, begin, end, buffers);
        if (a.row_bound != nullptr) a.row_bound[y] += bound;
      };
    });
  });
}

template void trws_pass<float>(const TrwsArgs<float>&);
template void trws_pass<double>(const TrwsArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
