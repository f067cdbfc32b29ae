// SPDX-License-Identifier: Apache-2.0
// Lower bound from chains: the messages reparametrise the energy (Eq 2.42), every scanline of every
// pair takes the share rho of the reparametrised unaries and its own edges, and the sum of their
// exact minima is a bound. Computed in double whatever the messages' type, so that rounding cannot
// lift it above the optimum.
#include "cpu/kernels.hpp"
#include "cpu/message_rows.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"
#include "cpu/sweep_strip.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// What comes to the head of a scanline.
struct NoMessage {
  int64_t stride;

  double lowest() const { return 0.0; }
  template <class Visit>
  void each(const Visit& visit) const {
    for (int64_t l = 0; l < stride; l += kLanes<double>) visit(l, Vec<double>{});
  }
};

/// M: what messages are kept in.
template <class T, class M>
struct ChainRule {
  static constexpr bool kZeroMinimum = false;
  const ChainBoundArgs<T>& args;
  const core::PairGeometry& geometry;

  [[gnu::always_inline]] void prefetch(int64_t pixel) const {
    const int64_t stride = args.shape.stride;
    prefetch_row(pixel, stride, args.unary);
    for (int r = 0; args.messages != nullptr && r < args.shape.connectivity; ++r)
      prefetch_row(pixel, stride, message(r));
  }
  void head(int64_t pixel, double* h) const { node(pixel, NoMessage{args.plan->stride}, h); }

  /// h = rho (theta + all messages) - messages of this pair + dp, and the scanline's constant.
  template <class Message>
  void node(int64_t pixel, const Message& message, double* h) const {
    const int64_t at = pixel * args.shape.stride;
    const double constant = message.lowest();
    Vec<double> smallest = splat(kInfinity<double>);
    message.each([&](int64_t l, Vec<double> raw) {
      const Vec<double> value = reparametrised(at + l) + (raw - splat(constant));
      store(h + l, value);
      smallest = vmin(smallest, value);
    });
    // The last node adds the minimum over itself; until then only what was subtracted counts.
    args.scanline_minimum[scanline(pixel)] +=
        constant + (is_last(pixel) ? horizontal_min<double>(smallest) : 0.0);
  }

 private:
  /// rho (theta + all messages) - messages of this pair
  Vec<double> reparametrised(int64_t at) const {
    Vec<double> all = load_widened(args.unary + at), own{};
    if (args.messages != nullptr) {
      for (int r = 0; r < args.shape.connectivity; ++r) all = all + load_widened(message(r) + at);
      own =
          load_widened(message(2 * args.pair) + at) + load_widened(message(2 * args.pair + 1) + at);
    }
    return splat(args.rho) * all - own;
  }
  const M* message(int r) const { return static_cast<const M*>(args.messages[r]); }
  /// Pair 0 is the horizontal one. (Strides do not tell: both are 1 in an image one pixel wide.)
  bool walks_columns() const { return args.pair == 0; }
  int64_t outer(int64_t pixel) const {
    return walks_columns() ? pixel % geometry.inner_stride : pixel / geometry.outer_stride;
  }
  int64_t inner(int64_t pixel) const {
    return walks_columns() ? pixel / geometry.inner_stride : pixel % geometry.outer_stride;
  }
  int64_t scanline(int64_t pixel) const {
    const int64_t t = outer(pixel);
    const int64_t slot = inner(pixel) - geometry.skew(t) - geometry.slot_begin;
    return slot * geometry.step + t % geometry.step;
  }
  bool is_last(int64_t pixel) const {
    const int64_t t = outer(pixel) + geometry.step;
    const int64_t s = inner(pixel) + geometry.shift;
    return t >= geometry.outer_n || s < 0 || s >= geometry.inner_n;
  }
};

}  // namespace

template <class T>
void chain_bound(const ChainBoundArgs<T>& a) {
  const core::PairGeometry geometry = core::pair_geometry(a.pair, a.shape.height, a.shape.width);
  const StripPlan strips(geometry, a.plan->stride * static_cast<int64_t>(sizeof(double)));
  const StripWeights<double> weights{
      a.weights.per_edge == nullptr ? nullptr : a.weights.per_edge + a.pair * a.shape.pixels(),
      a.weights.scale};
  with_message_type<T>(a.storage, [&]<class M>() {
    const ChainRule<T, M> rule{a, geometry};
    parallel_strips(strips.count(), a.threads, a.control, [&](ThreadMemory& memory, int64_t index) {
      StripBuffers<double> buffers(memory, *a.plan, strips.width * geometry.step);
      sweep_strip(strips.at(index), false, rule, *a.plan, weights, buffers, NoRecord{}, a.control);
    });
  });
}

template void chain_bound<float>(const ChainBoundArgs<float>&);
template void chain_bound<double>(const ChainBoundArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
