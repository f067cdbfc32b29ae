// SPDX-License-Identifier: Apache-2.0
// The message-passing rules and the sweep over one direction pair. The loop itself is in
// sweep_strip.hpp.
#include "cpu/kernels.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"
#include "cpu/sweep_strip.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// Minimum-free message: what Eq 3.5 stores.
template <class T>
struct Normalised {
  const T* raw;
  Vec<T> lowest;
  Normalised(const T* row, int64_t stride) : raw(row), lowest(splat<T>(row_min(row, stride))) {}
  Vec<T> at(int64_t l) const { return load(raw + l) - lowest; }
};

/// (1 - damping) new + damping old; exactly `fresh` when damping is 0.
template <class T>
inline Vec<T> damp(Vec<T> fresh, Vec<T> old, Vec<T> damping) {
  return fresh + damping * (old - fresh);
}

/// Eq 3.10: h = rho (theta + all messages) - message of the opposite direction.
template <class T>
struct TrwpRule {
  static constexpr bool kMinimumOfState = false;
  int64_t stride;
  T* sum;
  T* own;
  const T* other;
  Vec<T> rho, damping;

  void head(int64_t pixel, T* h) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>)
      store(h + l, rho * load(sum + at + l) - load(other + at + l));
  }
  void node(int64_t pixel, const T* message, T* h) const {
    const int64_t at = pixel * stride;
    const Normalised<T> fresh(message, stride);
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      const Vec<T> old = load(own + at + l);
      const Vec<T> m = damp<T>(fresh.at(l), old, damping);
      const Vec<T> s = load(sum + at + l) + (m - old);
      store(own + at + l, m);
      store(sum + at + l, s);
      store(h + l, rho * s - load(other + at + l));
    }
  }
};

/// Eq 3.9, first direction of the pair. The cavity (theta + old messages of the other pairs) is
/// computed here and left for the second direction.
template <class T>
struct IsgmrForwardRule {
  static constexpr bool kMinimumOfState = false;
  int64_t stride;
  const T* sum;
  T* own;
  const T* other;
  T* cavity;
  Vec<T> damping;

  void head(int64_t pixel, T* h) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      const Vec<T> c = load(sum + at + l) - load(own + at + l) - load(other + at + l);
      store(cavity + at + l, c);
      store(h + l, c);
    }
  }
  void node(int64_t pixel, const T* message, T* h) const {
    const int64_t at = pixel * stride;
    const Normalised<T> fresh(message, stride);
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      const Vec<T> old = load(own + at + l);
      const Vec<T> c = load(sum + at + l) - old - load(other + at + l);
      const Vec<T> m = damp<T>(fresh.at(l), old, damping);
      store(cavity + at + l, c);
      store(own + at + l, m);
      store(h + l, c + m);
    }
  }
};

/// Eq 3.9, second direction: the cavity is there already (in the message's own place when nothing
/// is damped).
template <class T>
struct IsgmrBackwardRule {
  static constexpr bool kMinimumOfState = false;
  int64_t stride;
  T* own;
  const T* cavity;
  Vec<T> damping;

  void head(int64_t pixel, T* h) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      store(h + l, load(cavity + at + l));
      store(own + at + l, Vec<T>{});
    }
  }
  void node(int64_t pixel, const T* message, T* h) const {
    const int64_t at = pixel * stride;
    const Normalised<T> fresh(message, stride);
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      const Vec<T> c = load(cavity + at + l);
      const Vec<T> m = damp<T>(fresh.at(l), load(own + at + l), damping);
      store(own + at + l, m);
      store(h + l, c + m);
    }
  }
};

/// Eq 3.3 / 2.34: L_r = theta + convolved predecessor - minimum of the predecessor; sums of L_r are
/// kept (Eq 2.35). The predecessor's minimum is taken off before the convolution instead of after
/// it: the same L_r, with less rounding, since the vectors that travel stay small. If `relative`,
/// what is kept are L_r less their minima, which the next iteration does not need.
template <class T>
struct SgmRule {
  static constexpr bool kMinimumOfState = true;
  int64_t stride;
  const T* unary;
  T* sum;
  const T* head_row;
  bool relative;

  void head(int64_t pixel, T* h) const {
    const int64_t at = pixel * stride;
    const T* first = head_row != nullptr ? head_row : unary + at;
    for (int64_t l = 0; l < stride; l += kLanes<T>) store(h + l, load(first + l));
    keep(at, h);
  }
  void node(int64_t pixel, const T* message, T* h) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>)
      store(h + l, load(unary + at + l) + load(message + l));
    keep(at, h);
  }

  /// h holds L_r: add it to the sum, and leave it less its minimum for the next node.
  void keep(int64_t at, T* h) const {
    const Vec<T> lowest = splat<T>(row_min(h, stride));
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      const Vec<T> path = load(h + l), rest = path - lowest;
      store(h + l, rest);
      store(sum + at + l, load(sum + at + l) + (relative ? rest : path));
    }
  }
};

template <class T>
struct SweepContext {
  const SweepArgs<T>& args;
  core::PairGeometry geometry;
  StripWeights<T> weights;

  explicit SweepContext(const SweepArgs<T>& a)
      : args(a),
        geometry(core::pair_geometry(a.pair, a.shape.height, a.shape.width)),
        weights{a.weights.per_edge == nullptr ? nullptr
                                              : a.weights.per_edge + a.pair * a.shape.pixels(),
                a.weights.scale} {}

  template <class Forward, class Backward>
  void run(const Forward& forward, const Backward& backward) const {
    if (args.forward_tape.argmin == nullptr) return run(forward, backward, NoRecord{}, NoRecord{});
    if (args.shape.labels <= kByteLabels) return run_recording<uint8_t>(forward, backward);
    run_recording<uint16_t>(forward, backward);
  }

 private:
  template <class Index, class Forward, class Backward>
  void run_recording(const Forward& forward, const Backward& backward) const {
    run(forward, backward, ArgminRecord<T, Index>(args.forward_tape, args.shape.labels),
        ArgminRecord<T, Index>(args.backward_tape, args.shape.labels));
  }

  template <class Forward, class Backward, class Record>
  void run(const Forward& forward, const Backward& backward, const Record& forward_record,
           const Record& backward_record) const {
    const StripPlan strips(geometry, args.shape.stride * static_cast<int64_t>(sizeof(T)));
    parallel_strips(strips.count(), args.threads, args.control,
                    [&](ThreadMemory& memory, int64_t index) {
                      const Strip strip = strips.at(index);
                      StripBuffers<T> buffers(memory, *args.plan, strips.width * geometry.step,
                                              Record::kActive);
                      sweep_strip(strip, false, forward, *args.plan, weights, buffers,
                                  forward_record, args.control);
                      sweep_strip(strip, true, backward, *args.plan, weights, buffers,
                                  backward_record, args.control);
                    });
  }
};

}  // namespace

template <class T>
void sweep_pair(const SweepArgs<T>& a) {
  const SweepContext<T> context(a);
  const int64_t n = a.shape.stride;
  const Vec<T> rho = splat<T>(a.rho), damping = splat<T>(a.damping);
  switch (a.rule) {
    case SweepRule::SGM: {
      const SgmRule<T> rule{n, a.unary, a.sum, a.head_row, a.relative};
      return context.run(rule, rule);
    }
    case SweepRule::ISGMR:
      return context.run(IsgmrForwardRule<T>{n, a.sum, a.forward, a.backward, a.cavity, damping},
                         IsgmrBackwardRule<T>{n, a.backward, a.cavity, damping});
    case SweepRule::TRWP:
      return context.run(TrwpRule<T>{n, a.sum, a.forward, a.backward, rho, damping},
                         TrwpRule<T>{n, a.sum, a.backward, a.forward, rho, damping});
  }
}

template void sweep_pair<float>(const SweepArgs<float>&);
template void sweep_pair<double>(const SweepArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
