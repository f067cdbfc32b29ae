// SPDX-License-Identifier: Apache-2.0
// Min-convolutions, one function per kind. All work on guarded rows, so shifted loads need no
// bounds checks.
#include "cpu/min_convolution.hpp"

#include "cpu/kernels.hpp"
#include "cpu/message.hpp"
#include "cpu/simd.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

template <class T>
void potts(const MinConvolutionPlan<T>& plan, bool, int count, const T* h, const T* w, T* out, T*) {
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride) {
    const Vec<T> cap = splat<T>(row_min(h, plan.stride) + w[g]);
    for (int64_t l = 0; l < plan.stride; l += kLanes<T>) store(out + l, vmin(load(h + l), cap));
  }
}

template <class T>
void sgm_penalty(const MinConvolutionPlan<T>& plan, bool, int count, const T* h, const T* w, T* out,
                 T*) {
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride) {
    const Vec<T> cap = splat<T>(row_min(h, plan.stride) + w[g] * plan.cap);
    const Vec<T> p1 = splat<T>(w[g] * plan.p1);
    for (int64_t l = 0; l < plan.stride; l += kLanes<T>) {
      const Vec<T> neighbours = vmin(load(h + l - 1), load(h + l + 1)) + p1;
      store(out + l, vmin(vmin(load(h + l), neighbours), cap));
    }
  }
}

/// One doubling step on all rows: out(l) = min(in(l), min(in(l - s), in(l + s)) + s w), capped in
/// the last one.
template <class T, bool Capped>
void doubling_step(const MinConvolutionPlan<T>& plan, int count, const T* in, int64_t in_row,
                   T* out, int64_t out_row, int64_t s, const T* w, const T* cap) {
  const FusedAdd<T> add;
  for (int g = 0; g < count; ++g, in += in_row, out += out_row) {
    const Vec<T> cost = splat<T>(w[g] * static_cast<T>(s));
    const Vec<T> most = splat<T>(cap[g]);
    for (int64_t l = 0; l < plan.stride; l += kLanes<T>) {
      Vec<T> v = vmin(load(in + l), add(vmin(load(in + l - s), load(in + l + s)), cost));
      if constexpr (Capped) v = vmin(v, most);
      store(out + l, v);
    }
  }
}

/// Rows that fit the registers: true if these do.
template <class T>
bool in_registers(const MinConvolutionPlan<T>& plan, int count, const T* h, const T* w, T* out) {
  return with_vector_count<kRegisterRow<T>>(plan.stride / kLanes<T>, [&]<int NV>() {
    for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride) {
      RegisterMessage<T, NV>(plan, RegisterRow<T, NV>(h), w[g]).each([&](int64_t l, Vec<T> v) {
        store(out + l, v);
      });
    }
  });
}

/// min(|l - m|, t): after steps of 1, 2, 4, ... every distance below 2^n is covered; larger ones
/// cost the cap. Steps are the outer loop: a step's shifted loads cannot be forwarded from the
/// stores before, other rows fill that wait.
template <class T>
void truncated_linear(const MinConvolutionPlan<T>& plan, bool, int count, const T* h, const T* w,
                      T* out, T* scratch) {
  if (in_registers(plan, count, h, w, out)) return;
  const int64_t row = plan.row();
  T cap[kGroup];
  for (int g = 0; g < count; ++g) {
    cap[g] = row_min(h + g * row, plan.stride) + w[g] * plan.cap;
  }
  if (plan.doubling_steps == 0) {
    for (int g = 0; g < count; ++g, h += row, out += plan.stride) {
      for (int64_t l = 0; l < plan.stride; l += kLanes<T>)
        store(out + l, vmin(load(h + l), splat<T>(cap[g])));
    }
    return;
  }
  const T* in = h;
  const int last = plan.doubling_steps - 1;
  for (int k = 0; k < last; ++k) {
    T* next = scratch + (k & 1) * kGroup * row + plan.guard;
    doubling_step<T, false>(plan, count, in, row, next, row, int64_t{1} << k, w, cap);
    in = next;
  }
  doubling_step<T, true>(plan, count, in, row, out, plan.stride, int64_t{1} << last, w, cap);
}

/// NV vectors of out, all shifts in [first, last] on both sides or on one.
template <class T, int NV, bool Left, bool Right>
inline void shift_tile(const T* h, const T* f, T w, int64_t first, int64_t last,
                       Vec<T> (&acc)[NV]) {
  const FusedAdd<T> add;
  for (int64_t k = first; k <= last; ++k) {
    const Vec<T> cost = splat<T>(w * f[k]);
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const T* p = h + v * kLanes<T>;
      Vec<T> best;
      if constexpr (Left && Right) {
        best = vmin(load(p - k), load(p + k));
      } else {
        best = Left ? load(p - k) : load(p + k);
      }
      acc[v] = vmin(acc[v], add(best, cost));
    }
  }
}

template <class T, int NV>
inline void shift_block(const MinConvolutionPlan<T>& plan, const T* h, T w, Vec<T> cap, int64_t l,
                        T* out) {
  Vec<T> acc[NV];
  for (int v = 0; v < NV; ++v)
    acc[v] = vmin(load(h + l + v * kLanes<T>) + splat<T>(w * plan.shift[0]), cap);
  // Labels l..l+n-1 see labels below them at shifts up to l + n - 1 and above them at shifts up to
  // L - 1 - l.
  const int64_t band = plan.band;
  const int64_t left = l + NV * kLanes<T> - 1 < band ? l + NV * kLanes<T> - 1 : band;
  const int64_t right = plan.labels - 1 - l < band ? plan.labels - 1 - l : band;
  const int64_t both = left < right ? left : right;
  shift_tile<T, NV, true, true>(h + l, plan.shift, w, 1, both, acc);
  shift_tile<T, NV, true, false>(h + l, plan.shift, w, both + 1, left, acc);
  shift_tile<T, NV, false, true>(h + l, plan.shift, w, both + 1, right, acc);
  for (int v = 0; v < NV; ++v) store(out + l + v * kLanes<T>, acc[v]);
}

template <class T>
void shift(const MinConvolutionPlan<T>& plan, bool, int count, const T* h, const T* w, T* out, T*) {
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride) {
    const Vec<T> cap = splat<T>(row_min(h, plan.stride) + w[g] * plan.cap);
    int64_t l = 0;
    for (; l + 4 * kLanes<T> <= plan.stride; l += 4 * kLanes<T>)
      shift_block<T, 4>(plan, h, w[g], cap, l, out);
    for (; l < plan.stride; l += kLanes<T>) shift_block<T, 1>(plan, h, w[g], cap, l, out);
  }
}

/// Lower envelope of the parabolas h(m) + w (l - m)^2. Intersections in double, so that they are
/// exact enough to pick the right parabola at every integer label.
template <class T>
void envelope_row(const MinConvolutionPlan<T>& plan, const T* h, T w, T* out, double* start,
                  int* apex, int* chosen) {
  const double inverse_weight = 1.0 / static_cast<double>(w);
  const auto intersection = [&](int v, int q) {
    const double rise = (static_cast<double>(h[q]) - static_cast<double>(h[v])) * inverse_weight;
    return (rise / (q - v) + (q + v)) * 0.5;
  };
  int top = 0;
  apex[0] = 0;
  start[0] = 0.0;  // never compared: the bottom parabola owns everything to the left
  for (int q = 1; q < plan.labels; ++q) {
    double s = intersection(apex[top], q);
    while (top > 0 && s <= start[top]) s = intersection(apex[--top], q);
    ++top;
    apex[top] = q;
    start[top] = s;
  }
  int k = 0;
  for (int l = 0; l < plan.labels; ++l) {
    while (k < top && start[k + 1] < l) ++k;
    const T d = static_cast<T>(l - apex[k]);
    out[l] = h[apex[k]] + w * (d * d);
    chosen[l] = apex[k];
  }
  for (int64_t l = plan.labels; l < plan.stride; ++l) out[l] = kForbidden<T>;
}

template <class T>
void envelope(const MinConvolutionPlan<T>& plan, bool, int count, const T* h, const T* w, T* out,
              T* scratch) {
  double* start = reinterpret_cast<double*>(scratch);
  int* apex = reinterpret_cast<int*>(start + plan.labels);
  for (int g = 0; g < count; ++g, h += plan.row(), out += plan.stride) {
    const T lowest = row_min(h, plan.stride);
    if (w[g] > T(0)) {
      envelope_row(plan, h, w[g], out, start, apex, apex + plan.labels);
    } else {
      for (int64_t l = 0; l < plan.stride; l += kLanes<T>) store(out + l, splat<T>(lowest));
    }
    const Vec<T> cap = splat<T>(lowest + w[g] * plan.cap);
    for (int64_t l = 0; l < plan.stride; l += kLanes<T>) store(out + l, vmin(load(out + l), cap));
  }
}

/// Register tile: P rows of h against NV vectors of every table row.
template <class T, int P, int NV, bool Unit>
inline void table_tile(const MinConvolutionPlan<T>& plan, const T* table, const T* h, const T* w,
                       T* out) {
  const FusedAdd<T> add;
  Vec<T> acc[P][NV];
  for (int p = 0; p < P; ++p) {
    for (int v = 0; v < NV; ++v) acc[p][v] = splat<T>(kForbidden<T> * T(4));
  }
  for (int m = 0; m < plan.labels; ++m, table += plan.stride) {
    Vec<T> hm[P];
    for (int p = 0; p < P; ++p) hm[p] = splat<T>(h[p * plan.row() + m]);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const Vec<T> row = load(table + v * kLanes<T>);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const Vec<T> cost = Unit ? row : row * splat<T>(w[p]);
        acc[p][v] = vmin(acc[p][v], add(hm[p], cost));
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    for (int v = 0; v < NV; ++v) store(out + p * plan.stride + v * kLanes<T>, acc[p][v]);
  }
}

/// Widest tile of P rows: P * NV accumulators, P values of h, a row of the table, a one and a
/// temporary fit the registers. (AVX2 with 4 x 3 spilled: 96 labels took a third longer.)
template <int P>
inline constexpr int kWidestTile = MRF_VECTOR_BYTES == 64 ? (P == 4 ? 6 : 8) : (P == 4 ? 2 : 4);

/// P rows at a time, then half as many.
template <class T, int P, bool Unit>
void table_rows(const MinConvolutionPlan<T>& plan, int count, const T* table, const T* h,
                const T* w, T* out) {
  for (; count >= P; count -= P, h += P * plan.row(), w += P, out += P * plan.stride) {
    for (int64_t l = 0; l < plan.stride;) {
      const int64_t left = (plan.stride - l) / kLanes<T>;
      const int64_t width = left < kWidestTile<P> ? left : kWidestTile<P>;
      with_vector_count<kWidestTile<P>>(
          width, [&]<int NV>() { table_tile<T, P, NV, Unit>(plan, table + l, h, w, out + l); });
      l += width * kLanes<T>;
    }
  }
  if constexpr (P > 1) table_rows<T, P / 2, Unit>(plan, count, table, h, w, out);
}

template <class T>
void table(const MinConvolutionPlan<T>& plan, bool transposed, int count, const T* h, const T* w,
           T* out, T*) {
  const T* values = transposed ? plan.table_t : plan.table;
  if (plan.unit_weight) return table_rows<T, kGroup, true>(plan, count, values, h, w, out);
  table_rows<T, kGroup, false>(plan, count, values, h, w, out);
}

}  // namespace

template <class T>
MinConvolutionFn<T> min_convolution(MinConvolutionKind kind) {
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
    case MinConvolutionKind::SoftTable:
      return soft_table<T>;
    case MinConvolutionKind::Table:
      break;
  }
  return table<T>;
}

template <class T>
int64_t scratch_size(const MinConvolutionPlan<T>& plan) {
  const int64_t envelope_doubles = 2 * static_cast<int64_t>(plan.labels);
  const int64_t envelope_size = envelope_doubles * static_cast<int64_t>(sizeof(double) / sizeof(T));
  const int64_t size =
      plan.kind == MinConvolutionKind::Envelope ? envelope_size : 2 * kGroup * plan.row();
  return (size + 63) / 64 * 64;
}

template <class T>
void prepare_scratch(const MinConvolutionPlan<T>& plan, T* scratch) {
  const int64_t n = scratch_size(plan);
  for (int64_t i = 0; i < n; ++i) scratch[i] = kForbidden<T>;
}

template <class T>
const int* envelope_apexes(const MinConvolutionPlan<T>& plan, const T* scratch) {
  return reinterpret_cast<const int*>(reinterpret_cast<const double*>(scratch) + plan.labels) +
         plan.labels;
}

template MinConvolutionFn<float> min_convolution<float>(MinConvolutionKind);
template MinConvolutionFn<double> min_convolution<double>(MinConvolutionKind);
template int64_t scratch_size<float>(const MinConvolutionPlan<float>&);
template int64_t scratch_size<double>(const MinConvolutionPlan<double>&);
template const int* envelope_apexes<float>(const MinConvolutionPlan<float>&, const float*);
template const int* envelope_apexes<double>(const MinConvolutionPlan<double>&, const double*);
template void prepare_scratch<float>(const MinConvolutionPlan<float>&, float*);
template void prepare_scratch<double>(const MinConvolutionPlan<double>&, double*);

}  // namespace mrfcore::cpu::MRF_ISA
