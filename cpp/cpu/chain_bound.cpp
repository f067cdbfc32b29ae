// SPDX-License-Identifier: Apache-2.0
// Lower bound from chains: the messages reparametrise the energy (Eq 2.42), every scanline of every
// pair takes the share rho of the reparametrised unaries and its own edges, and the sum of their
// exact minima is a bound. Computed in double whatever the messages' type, so that rounding cannot
// lift it above the optimum.
#include "cpu/kernels.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"
#include "cpu/sweep_strip.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

template <class T>
struct ChainRule {
  const ChainBoundArgs<T>& args;
  const core::PairGeometry& geometry;

  /// h = rho (theta + all messages) - messages of this pair + dp, and the scanline's constant.
  void step(int64_t pixel, const double* message, double* h) const {
    const GridShape& shape = args.shape;
    const int64_t at = pixel * shape.stride;
    const double lowest = message == nullptr ? 0.0 : row_min(message, args.plan->stride);
    double smallest = static_cast<double>(kForbidden<T>) * 64.0;
    for (int l = 0; l < shape.labels; ++l) {
      double all = static_cast<double>(args.unary[at + l]);
      double own = 0.0;
      if (args.messages != nullptr) {
        for (int r = 0; r < shape.connectivity; ++r)
          all += static_cast<double>(args.messages[r][at + l]);
        own = static_cast<double>(args.messages[2 * args.pair][at + l]) +
              static_cast<double>(args.messages[2 * args.pair + 1][at + l]);
      }
      const double dp = message == nullptr ? 0.0 : message[l] - lowest;
      h[l] = args.rho * all - own + dp;
      smallest = h[l] < smallest ? h[l] : smallest;
    }
    // The last node adds the minimum over itself; until then only what was subtracted counts.
    double& total = args.scanline_minimum[scanline(pixel)];
    total += lowest + (is_last(pixel) ? smallest : 0.0);
  }
  void head(int64_t pixel, double* h) const { step(pixel, nullptr, h); }
  void node(int64_t pixel, const double* message, double* h) const { step(pixel, message, h); }

 private:
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
  const ChainRule<T> rule{a, geometry};
  parallel_strips(strips.count(), a.threads, a.control, [&](ThreadMemory& memory, int64_t index) {
    StripBuffers<double> buffers(memory, *a.plan, strips.width * geometry.step);
    sweep_strip(strips.at(index), false, rule, *a.plan, weights, buffers, NoRecord{}, a.control);
  });
}

template void chain_bound<float>(const ChainBoundArgs<float>&);
template void chain_bound<double>(const ChainBoundArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
