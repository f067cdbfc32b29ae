// SPDX-License-Identifier: Apache-2.0
// The message-passing rules and the sweep over one direction pair. The loop itself is in
// sweep_strip.hpp.
#include "cpu/kernels.hpp"
#include "cpu/message_rows.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd.hpp"
#include "cpu/sweep_strip.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// visit(l, minimum-free message): what Eq 3.5 stores.
template <class T, class Message, class Visit>
inline void each_normalised(const Message& message, const Visit& visit) {
  const Vec<T> lowest = splat<T>(message.lowest());
  message.each([&](int64_t l, Vec<T> raw) { visit(l, raw - lowest); });
}

/// (1 - damping) new + damping old.
template <class T>
struct Damping {
  Vec<T> share;
  bool active;

  explicit Damping(T damping) : share(splat<T>(damping)), active(damping != T(0)) {}
  Vec<T> operator()(Vec<T> fresh, Vec<T> old) const {
    return active ? fresh + share * (old - fresh) : fresh;
  }
};

/// Eq 3.10: h = rho (theta + all messages) - message of the opposite direction.
template <class T, class M>
struct TrwpRule {
  static constexpr bool kZeroMinimum = false;
  int64_t stride;
  T* sum;
  M* own;
  const M* other;
  Vec<T> rho;
  Damping<T> damping;

  [[gnu::always_inline]] void prefetch(int64_t pixel) const {
    prefetch_rows(pixel, stride, sum, own, other);
  }
  void head(int64_t pixel, T* h) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>)
      store(h + l, rho * load(sum + at + l) - load_message<T>(other + at + l));
  }
  template <class Message>
  void node(int64_t pixel, const Message& message, T* h) const {
    const int64_t at = pixel * stride;
    each_normalised<T>(message, [&](int64_t l, Vec<T> fresh) {
      const Vec<T> old = load_message<T>(own + at + l);
      const Vec<T> m = keep_message<T>(own + at + l, damping(fresh, old));
      const Vec<T> s = load(sum + at + l) + (m - old);
      store(sum + at + l, s);
      store(h + l, rho * s - load_message<T>(other + at + l));
    });
  }
};

/// Eq 3.9, first direction of the pair. The cavity (theta + old messages of the other pairs) is
/// computed here and left for the second direction.
template <class T, class M>
struct IsgmrForwardRule {
  static constexpr bool kZeroMinimum = false;
  int64_t stride;
  const T* sum;
  M* own;
  const M* other;
  T* cavity;
  Damping<T> damping;

  [[gnu::always_inline]] void prefetch(int64_t pixel) const {
    prefetch_rows(pixel, stride, sum, own, other, cavity);
  }
  void head(int64_t pixel, T* h) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      const Vec<T> c =
          load(sum + at + l) - load_message<T>(own + at + l) - load_message<T>(other + at + l);
      store(cavity + at + l, c);
      store(h + l, c);
    }
  }
  template <class Message>
  void node(int64_t pixel, const Message& message, T* h) const {
    const int64_t at = pixel * stride;
    each_normalised<T>(message, [&](int64_t l, Vec<T> fresh) {
      const Vec<T> old = load_message<T>(own + at + l);
      const Vec<T> c = load(sum + at + l) - old - load_message<T>(other + at + l);
      store(cavity + at + l, c);
      const Vec<T> m = keep_message<T>(own + at + l, damping(fresh, old));
      store(h + l, c + m);
    });
  }
};

/// Eq 3.9, second direction: the cavity is there already (in the message's own place when nothing
/// is damped).
template <class T, class M>
struct IsgmrBackwardRule {
  static constexpr bool kZeroMinimum = false;
  int64_t stride;
  M* own;
  const T* cavity;
  Damping<T> damping;

  [[gnu::always_inline]] void prefetch(int64_t pixel) const {
    prefetch_rows(pixel, stride, own, cavity);
  }
  void head(int64_t pixel, T* h) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      store(h + l, load(cavity + at + l));
      keep_message<T>(own + at + l, Vec<T>{});
    }
  }
  template <class Message>
  void node(int64_t pixel, const Message& message, T* h) const {
    const int64_t at = pixel * stride;
    each_normalised<T>(message, [&](int64_t l, Vec<T> fresh) {
      const Vec<T> c = load(cavity + at + l);
      const Vec<T> old = load_message<T>(own + at + l);
      const Vec<T> m = keep_message<T>(own + at + l, damping(fresh, old));
      store(h + l, c + m);
    });
  }
};

/// Eq 3.3 / 2.34: L_r = theta + convolved predecessor - minimum of the predecessor; sums of L_r are
/// kept (Eq 2.35). The predecessor's minimum is taken off before the convolution instead of after
/// it: the same L_r, with less rounding, since the vectors that travel stay small. If `relative`,
/// what is kept are L_r less their minima, which the next iteration does not need.
template <class T>
struct SgmRule {
  static constexpr bool kZeroMinimum = true;  ///< of what is left in h
  int64_t stride;
  const T* unary;
  T* sum;
  const T* head_row;
  bool relative;

  [[gnu::always_inline]] void prefetch(int64_t pixel) const {
    prefetch_rows(pixel, stride, unary, sum);
  }
  void head(int64_t pixel, T* h) const {
    const int64_t at = pixel * stride;
    keep(at, StoredMessage<T>(head_row != nullptr ? head_row : unary + at, stride), h);
  }
  template <class Message>
  void node(int64_t pixel, const Message& message, T* h) const {
    const int64_t at = pixel * stride;
    keep(at, message.map(h, [&](int64_t l, Vec<T> raw) { return load(unary + at + l) + raw; }), h);
  }

  /// Adds L_r to the sum, and leaves it less its minimum for the next node.
  template <class Path>
  void keep(int64_t at, const Path& path, T* h) const {
    const Vec<T> lowest = splat<T>(path.lowest());
    path.each([&](int64_t l, Vec<T> value) {
      const Vec<T> rest = value - lowest;
      store(h + l, rest);
      store(sum + at + l, load(sum + at + l) + (relative ? rest : value));
    });
  }
};

/// M: what messages are kept in.
template <class T, class M = T>
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
    if constexpr (sizeof(M) == sizeof(T)) {  // 16-bit messages are never recorded
      if (args.forward_tape.argmin != nullptr) {
        if (args.shape.labels <= kByteLabels) return run_recording<uint8_t>(forward, backward);
        return run_recording<uint16_t>(forward, backward);
      }
    }
    run(forward, backward, NoRecord{}, NoRecord{});
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
    constexpr auto kBytes = static_cast<int64_t>(sizeof(T) + 2 * sizeof(M));  // sum, two messages
    const StripPlan strips(geometry, args.shape.stride * kBytes / 3,
                           nodes_together<T>(*args.plan, Record::kActive));
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

template <class T, class M>
void sweep_messages(const SweepArgs<T>& a) {
  const SweepContext<T, M> context(a);
  const int64_t n = a.shape.stride;
  const Vec<T> rho = splat<T>(a.rho);
  const Damping<T> damping(a.damping);
  M *const forward = static_cast<M*>(a.forward), *const backward = static_cast<M*>(a.backward);
  if (a.rule == SweepRule::ISGMR) {
    context.run(IsgmrForwardRule<T, M>{n, a.sum, forward, backward, a.cavity, damping},
                IsgmrBackwardRule<T, M>{n, backward, a.cavity, damping});
  } else {
    context.run(TrwpRule<T, M>{n, a.sum, forward, backward, rho, damping},
                TrwpRule<T, M>{n, a.sum, backward, forward, rho, damping});
  }
}

}  // namespace

template <class T>
void sweep_pair(const SweepArgs<T>& a) {
  if (a.rule == SweepRule::SGM) {
    const SgmRule<T> rule{a.shape.stride, a.unary, a.sum, a.head_row, a.relative};
    return SweepContext<T>(a).run(rule, rule);
  }
  with_message_type<T>(a.storage, [&]<class M>() { sweep_messages<T, M>(a); });
}

template void sweep_pair<float>(const SweepArgs<float>&);
template void sweep_pair<double>(const SweepArgs<double>&);

}  // namespace mrfcore::cpu::MRF_ISA
