// SPDX-License-Identifier: Apache-2.0
// Adjoints of the rules in sweep.cpp: `head` and `node` take the gradient gh of the vector that a
// node handed on, and `node` leaves in g that of the message it got.
#pragma once

#include "cpu/adjoint_through.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// Adjoint of Eq 3.10.
template <class T>
struct TrwpAdjoint {
  int64_t stride;
  T* sum;
  T* own;
  T* other;
  Vec<T> rho, damping, fresh;

  void head(int64_t pixel, const T* gh) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      store(sum + at + l, load(sum + at + l) + rho * load(gh + l));
      store(other + at + l, load(other + at + l) - load(gh + l));
    }
  }
  void node(int64_t pixel, const T* gh, T* g) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      const Vec<T> s = load(sum + at + l) + rho * load(gh + l);
      const Vec<T> m = load(own + at + l) + s;
      store(other + at + l, load(other + at + l) - load(gh + l));
      store(sum + at + l, s);
      store(own + at + l, damping * m - s);
      store(g + l, fresh * m);
    }
  }
};

/// Adjoint of Eq 3.9, second direction of the pair: leaves the gradient of the cavity for the
/// first, in the message's own place when nothing is damped.
template <class T>
struct IsgmrBackwardAdjoint {
  int64_t stride;
  const T* sum;
  T* own;
  T* cavity;
  Vec<T> damping, fresh;

  void head(int64_t pixel, const T* gh) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      store(own + at + l, Vec<T>{});
      store(cavity + at + l, load(gh + l));
    }
  }
  void node(int64_t pixel, const T* gh, T* g) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      const Vec<T> m = load(own + at + l) + load(sum + at + l) + load(gh + l);
      store(own + at + l, damping * m);
      store(cavity + at + l, load(gh + l));
      store(g + l, fresh * m);
    }
  }
};

/// Adjoint of Eq 3.9, first direction of the pair.
template <class T>
struct IsgmrForwardAdjoint {
  int64_t stride;
  const T* sum;
  T* sum_before;
  T* own;
  T* other;
  const T* cavity;
  Vec<T> damping, fresh;

  void head(int64_t pixel, const T* gh) const { step(pixel, gh, nullptr); }
  void node(int64_t pixel, const T* gh, T* g) const { step(pixel, gh, g); }

 private:
  void step(int64_t pixel, const T* gh, T* g) const {
    const int64_t at = pixel * stride;
    const bool damped = other != cavity;
    for (int64_t l = 0; l < stride; l += kLanes<T>) {
      const Vec<T> s = load(sum + at + l);
      const Vec<T> m = load(own + at + l) + s + load(gh + l);
      const Vec<T> c = load(cavity + at + l) + load(gh + l);
      const Vec<T> kept = damped ? load(other + at + l) : Vec<T>{};
      store(own + at + l, damping * m - s - c);
      store(other + at + l, kept - s - c);
      store(sum_before + at + l, load(sum_before + at + l) + c);
      if (g != nullptr) store(g + l, fresh * m);
    }
  }
};

/// Adjoint of Eq 3.3.
template <class T, class Index>
struct SgmAdjoint {
  int64_t stride;
  const T* cost;
  T* unary;
  bool unary_head, relative;
  const HardThrough<T, Index>& through;

  void head(int64_t pixel, T* gh) const {
    path(pixel, gh, gh);
    if (unary_head) add_to_unary(pixel, gh);
  }
  void node(int64_t pixel, const T* gh, T* g) const {
    path(pixel, gh, g);
    add_to_unary(pixel, g);
  }

 private:
  /// h = L - min L was handed on, L (or h, if relative) was added to the cost.
  void path(int64_t pixel, const T* gh, T* g) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>)
      store(g + l, relative ? load(gh + l) + load(cost + at + l) : load(gh + l));
    through.subtract_at_minimum(pixel, g);
    if (relative) return;
    for (int64_t l = 0; l < stride; l += kLanes<T>) store(g + l, load(g + l) + load(cost + at + l));
  }
  void add_to_unary(int64_t pixel, const T* g) const {
    const int64_t at = pixel * stride;
    for (int64_t l = 0; l < stride; l += kLanes<T>)
      store(unary + at + l, load(unary + at + l) + load(g + l));
  }
};

}  // namespace mrfcore::cpu::MRF_ISA
