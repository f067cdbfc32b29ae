// SPDX-License-Identifier: Apache-2.0
// The min-convolutions of min_convolution.cpp with the label that attains each minimum, the lowest
// one on ties. Values come out with the same bits; labels travel in integer vectors as wide as the
// values.
#include "cpu/min_convolution.hpp"

#include "cpu/kernels.hpp"
#include "cpu/register_row.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

/// What every label may cost at most: the best value of all plus the largest V.
template <class T>
struct Cap {
  Vec<T> value;
  LabelVec<T> label;

  Cap(const MinConvolutionPlan<T>& plan, const T* h, T w) {
    const int32_t best = first_minimum(h, plan.labels, plan.stride);
    value = splat<T>(h[best] + w * plan.cap);
    label = splat_label<T>(best);
  }
};

template <class T>
inline void put(const Best<T>& best, int64_t l, T* out, Lane<T>* index) {
  store(out + l, best.value);
  store(index + l, best.label);
}

template <class T>
void potts(const MinConvolutionPlan<T>& plan, bool, int count, const T* h, const T* w, T* out,
           Lane<T>* index, T*) {
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride, index += plan.stride) {
    const int32_t lowest = first_minimum(h, plan.labels, plan.stride);
    for (int64_t l = 0; l < plan.stride; l += kLanes<T>) {
      Best<T> best{load(h + l), labels_from<T>(l)};
      best.offer(splat<T>(h[lowest] + w[g]), splat_label<T>(lowest));
      put(best, l, out, index);
    }
  }
}

template <class T>
void sgm_penalty(const MinConvolutionPlan<T>& plan, bool, int count, const T* h, const T* w, T* out,
                 Lane<T>* index, T*) {
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride, index += plan.stride) {
    const Cap<T> cap(plan, h, w[g]);
    const Vec<T> p1 = splat<T>(w[g] * plan.p1);
    for (int64_t l = 0; l < plan.stride; l += kLanes<T>) {
      Best<T> best{load(h + l), labels_from<T>(l)};
      best.offer(load(h + l - 1) + p1, labels_from<T>(l - 1));
      best.offer(load(h + l + 1) + p1, labels_from<T>(l + 1));
      best.offer(cap.value, cap.label);
      put(best, l, out, index);
    }
  }
}

/// Rows that fit the registers.
template <class T, int NV>
void truncated_linear_rows(const MinConvolutionPlan<T>& plan, int count, const T* h, const T* w,
                           T* out, Lane<T>* index) {
  const FusedAdd<T> add;
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride, index += plan.stride) {
    const Cap<T> cap(plan, h, w[g]);
    LabelledRow<T, NV> row(h);
    doubling_steps<1>(row, plan.doubling_steps, w[g], add);
#pragma GCC unroll 8
    for (int i = 0; i < NV; ++i) {
      Best<T> best{row.value[i], row.label[i]};
      best.offer(cap.value, cap.label);
      put(best, i * kLanes<T>, out, index);
    }
  }
}

/// One doubling step of longer rows, on a row of values and the row of their labels; ties as in
/// LabelledRow.
template <class T>
inline Best<T> doubling_step(const T* in, const Lane<T>* labels, int64_t l, int64_t s,
                             Vec<T> cost) {
  const Vec<T> below = load(in + l - s) + cost, own = load(in + l), above = load(in + l + s) + cost;
  Best<T> best{vmin(below, own),
               (LabelVec<T>)(below <= own) ? load(labels + l - s) : load(labels + l)};
  best.label = (LabelVec<T>)(above < best.value) ? load(labels + l + s) : best.label;
  best.value = vmin(above, best.value);
  return best;
}

/// Scratch: an identity row of labels, then two rows of values and two of labels, all guarded.
template <class T>
void truncated_linear(const MinConvolutionPlan<T>& plan, bool, int count, const T* h, const T* w,
                      T* out, Lane<T>* index, T* scratch) {
  const auto in_registers = [&]<int NV>() {
    truncated_linear_rows<T, NV>(plan, count, h, w, out, index);
  };
  if (with_vector_count<kRegisterRowLabelled>(plan.stride / kLanes<T>, in_registers)) return;
  const int64_t row = plan.row();
  T* values[2] = {scratch + row + plan.guard, scratch + 2 * row + plan.guard};
  Lane<T>* labels = reinterpret_cast<Lane<T>*>(scratch);
  Lane<T>* of[2] = {labels + 3 * row + plan.guard, labels + 4 * row + plan.guard};
  const Lane<T>* identity = labels + plan.guard;
  for (int g = 0; g < count; ++g, h += row, out += plan.stride, index += plan.stride) {
    const Cap<T> cap(plan, h, w[g]);
    const T* in = h;
    const Lane<T>* in_labels = identity;
    for (int k = 0; k < plan.doubling_steps; ++k) {
      const int64_t s = int64_t{1} << k;
      const Vec<T> cost = splat<T>(w[g] * static_cast<T>(s));
      for (int64_t l = 0; l < plan.stride; l += kLanes<T>)
        put(doubling_step<T>(in, in_labels, l, s, cost), l, values[k & 1], of[k & 1]);
      in = values[k & 1];
      in_labels = of[k & 1];
    }
    for (int64_t l = 0; l < plan.stride; l += kLanes<T>) {
      Best<T> best{load(in + l), load(in_labels + l)};
      best.offer(cap.value, cap.label);
      put(best, l, out, index);
    }
  }
}

/// NV vectors of out. Labels m come in ascending order, so a strict comparison keeps the lowest;
/// what is kept is m - l.
template <class T, int NV>
inline void shift_block(const MinConvolutionPlan<T>& plan, const T* h, T w, const Cap<T>& cap,
                        int64_t l, T* out, Lane<T>* index) {
  const FusedAdd<T> add;
  Best<T> best[NV];
  for (int v = 0; v < NV; ++v) best[v] = {splat<T>(kForbidden<T> * T(4)), LabelVec<T>{}};
  const auto offer = [&](int64_t from, T difference_cost) {
    const Vec<T> cost = splat<T>(w * difference_cost);
    const LabelVec<T> offset = splat_label<T>(from);
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const Vec<T> candidate = add(load(h + l + v * kLanes<T> + from), cost);
      best[v].label = (LabelVec<T>)(candidate < best[v].value) ? offset : best[v].label;
      best[v].value = vmin(candidate, best[v].value);
    }
  };
  // Shifts that leave the row for all lanes are left out; the guards take care of the others.
  const int64_t below = l + NV * kLanes<T> - 1, above = plan.labels - 1 - l;
  for (int64_t k = below < plan.band ? below : plan.band; k > 0; --k) offer(-k, plan.shift[k]);
  for (int64_t k = 0; k <= plan.band && k <= above; ++k) offer(k, plan.shift[k]);
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    best[v].label += labels_from<T>(l + v * kLanes<T>);
    best[v].offer(cap.value, cap.label);
    put(best[v], l + v * kLanes<T>, out, index);
  }
}

template <class T>
void shift(const MinConvolutionPlan<T>& plan, bool, int count, const T* h, const T* w, T* out,
           Lane<T>* index, T*) {
  constexpr int kWide = MRF_VECTOR_BYTES == 64 ? 4 : 3;
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride, index += plan.stride) {
    const Cap<T> cap(plan, h, w[g]);
    int64_t l = 0;
    for (; l + kWide * kLanes<T> <= plan.stride; l += kWide * kLanes<T>)
      shift_block<T, kWide>(plan, h, w[g], cap, l, out, index);
    for (; l < plan.stride; l += kLanes<T>) shift_block<T, 1>(plan, h, w[g], cap, l, out, index);
  }
}

/// Lower envelope of parabolas: the apex is the label.
template <class T>
void envelope(const MinConvolutionPlan<T>& plan, bool transposed, int count, const T* h, const T* w,
              T* out, Lane<T>* index, T* scratch) {
  const int* apex = envelope_apexes(plan, scratch);
  const MinConvolutionFn<T> values = min_convolution<T>(MinConvolutionKind::Envelope);
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride, index += plan.stride) {
    const Cap<T> cap(plan, h, w[g]);
    values(plan, transposed, 1, h, w + g, out, scratch);
    for (int64_t l = 0; l < plan.stride; ++l) {
      const int64_t own = l < plan.labels ? l : plan.labels - 1;
      const bool flat = !(w[g] > T(0));
      index[l] = flat || !(out[l] < cap.value[0]) ? cap.label[0] : apex[own];
    }
  }
}

/// Register tile: P rows of h against NV vectors of every table row; labels m come in order, so a
/// strict comparison keeps the lowest.
template <class T, int P, int NV>
inline void table_tile(const MinConvolutionPlan<T>& plan, const T* table, const T* h, const T* w,
                       T* out, Lane<T>* index) {
  Vec<T> best[P][NV];
  LabelVec<T> label[P][NV] = {};
  for (int p = 0; p < P; ++p) {
    for (int v = 0; v < NV; ++v) best[p][v] = splat<T>(kForbidden<T> * T(4));
  }
  LabelVec<T> m_label{};
  for (int m = 0; m < plan.labels; ++m, table += plan.stride, m_label += Lane<T>(1)) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const Vec<T> row = load(table + v * kLanes<T>);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        const Vec<T> cost = plan.unit_weight ? row : row * splat<T>(w[p]);
        const Vec<T> candidate = splat<T>(h[p * plan.row() + m]) + cost;
        label[p][v] = (LabelVec<T>)(candidate < best[p][v]) ? m_label : label[p][v];
        best[p][v] = vmin(candidate, best[p][v]);
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    for (int v = 0; v < NV; ++v) {
      store(out + p * plan.stride + v * kLanes<T>, best[p][v]);
      store(index + p * plan.stride + v * kLanes<T>, label[p][v]);
    }
  }
}

template <class T, int P>
void table_rows(const MinConvolutionPlan<T>& plan, const T* table, const T* h, const T* w, T* out,
                Lane<T>* index) {
  constexpr int kWide = MRF_VECTOR_BYTES == 64 ? 2 : 1;
  int64_t l = 0;
  for (; l + kWide * kLanes<T> <= plan.stride; l += kWide * kLanes<T>)
    table_tile<T, P, kWide>(plan, table + l, h, w, out + l, index + l);
  for (; l < plan.stride; l += kLanes<T>)
    table_tile<T, P, 1>(plan, table + l, h, w, out + l, index + l);
}

template <class T>
void table(const MinConvolutionPlan<T>& plan, bool transposed, int count, const T* h, const T* w,
           T* out, Lane<T>* index, T*) {
  const T* values = transposed ? plan.table_t : plan.table;
  if (count == kGroup) return table_rows<T, kGroup>(plan, values, h, w, out, index);
  for (int g = 0; g < count; ++g) {
    table_rows<T, 1>(plan, values, h + g * plan.row(), w + g, out + g * plan.stride,
                     index + g * plan.stride);
  }
}

}  // namespace

template <class T>
ArgminConvolutionFn<T> argmin_convolution(MinConvolutionKind kind) {
  switch (kind) {
    case MinConvolutionKind::Potts:
      return potts<T>;
    case MinConvolutionKind::SGMPenalty:
      return sgm_penalty<T>;
    case MinConvolutionKind::TruncatedLinear:
      return truncated_linear<T>;
    case MinConvolutionKind::Shift:
      return shift<T>;
    case MinConvolutionKind::Envelope:
      return envelope<T>;
    case MinConvolutionKind::SoftTable:  // has no arg-min; ops never asks for one
    case MinConvolutionKind::Table:
      break;
  }
  return table<T>;
}

template <class T>
int64_t argmin_scratch_size(const MinConvolutionPlan<T>& plan) {
  const int64_t size =
      plan.kind == MinConvolutionKind::TruncatedLinear ? 5 * plan.row() : scratch_size(plan);
  return (size + 63) / 64 * 64;
}

template <class T>
void prepare_argmin_scratch(const MinConvolutionPlan<T>& plan, T* scratch) {
  if (plan.kind != MinConvolutionKind::TruncatedLinear) return prepare_scratch(plan, scratch);
  const int64_t row = plan.row();
  for (int64_t i = row; i < 3 * row; ++i) scratch[i] = kForbidden<T>;
  Lane<T>* labels = reinterpret_cast<Lane<T>*>(scratch);
  for (int64_t i = 0; i < row; ++i) {
    const auto label = static_cast<Lane<T>>(i - plan.guard);
    labels[i] = labels[3 * row + i] = labels[4 * row + i] = label;
  }
}

template ArgminConvolutionFn<float> argmin_convolution<float>(MinConvolutionKind);
template ArgminConvolutionFn<double> argmin_convolution<double>(MinConvolutionKind);
template int64_t argmin_scratch_size<float>(const MinConvolutionPlan<float>&);
template int64_t argmin_scratch_size<double>(const MinConvolutionPlan<double>&);
template void prepare_argmin_scratch<float>(const MinConvolutionPlan<float>&, float*);
template void prepare_argmin_scratch<double>(const MinConvolutionPlan<double>&, double*);

}  // namespace mrfcore::cpu::MRF_ISA
