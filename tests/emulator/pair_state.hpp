// SPDX-License-Identifier: Apache-2.0
// Random input of a pair's sweeps and adjoints, hard or soft, in padded rows for the CPU or dense
// ones for CUDA, and the CPU's answer for a batch.
#pragma once

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "cpu/kernels.hpp"
#include "emulator/rows.hpp"
#include "kernels.hpp"
#include "ops/dispatch.hpp"
#include "ops/plan.hpp"

namespace mrfcore::test {

struct PairCase {
  cpu::SweepRule rule;
  Shape shape;
  double temperature;  ///< 0: hard
  double damping = 0.0;
  bool edges = true;      ///< weights per edge, and their gradients
  bool symmetric = true;  ///< V(l, m) = V(m, l)
  bool forbidden = false;

  std::string text() const {
    return shape.text() + ", rule " + std::to_string(static_cast<int>(rule)) + ", temperature " +
           std::to_string(temperature) + ", damping " + std::to_string(damping);
  }
  int64_t item_pixels() const { return shape.height * shape.width; }
  int64_t item_edges() const { return shape.connectivity / 2 * item_pixels(); }
  int64_t index_bytes() const { return shape.labels > cpu::kByteLabels ? 2 : 1; }
  cuda::Batch batch() const {
    return {shape.batch, item_pixels() * shape.labels, item_edges(), item_pixels() * shape.labels,
            item_pixels()};
  }
};

/// Everything a pair's sweep or adjoint reads and writes; zeros as padding.
template <class T>
struct PairState {
  int64_t stride;
  std::vector<T> sum, sum_before, forward, backward, cavity, cost, unary, state;
  std::vector<T> before[2], after[2], edge_weights, per_edge, table, table_t;
  std::vector<unsigned char> argmin[2], minimum[2];

  PairState(const PairCase& c, int64_t row_stride) : stride(row_stride) {
    const int64_t labels = c.shape.labels, pixels = c.shape.pixels();
    Random random(31);
    const auto volume = [&] {
      std::vector<T> dense = random.array<T>(pixels * labels, 4.0, kFine);
      for (T& x : dense) x -= T(2);
      return dense;
    };
    const auto rows = [&](const std::vector<T>& dense) {
      return padded(dense, labels, stride, T(0));
    };
    for (std::vector<T>* v : {&sum_before, &forward, &backward, &cavity, &cost, &unary, &before[0],
                              &before[1], &after[0], &after[1]})
      *v = rows(volume());
    for (std::vector<T>* v : {&sum, &state}) {
      std::vector<T> dense = volume();
      for (size_t i = 0; c.forbidden && i < dense.size(); i += 7) dense[i] = cpu::kForbidden<T>;
      *v = rows(dense);
    }
    edge_weights = random.array<T>(c.item_edges() * c.shape.batch, 2.0, kFine);
    per_edge = random.array<T>(c.item_edges() * c.shape.batch, 2.0, kFine);
    fill_tables(random.array<T>(labels * labels, 3.0, kFine), labels, c.symmetric);
    for (int way = 0; way < 2; ++way) {
      argmin[way] = random_labels(random, pixels * labels, labels);
      minimum[way] = random_labels(random, pixels, labels);
    }
  }

  void fill_tables(std::vector<T> dense, int64_t labels, bool symmetric) {
    std::vector<T> transposed(dense.size());
    for (int64_t m = 0; m < labels; ++m) {
      for (int64_t l = 0; l < labels; ++l) {
        const auto at = static_cast<size_t>(m * labels + l);
        const auto other = static_cast<size_t>(l * labels + m);
        if (symmetric && m > l) dense[at] = dense[other];
        transposed[other] = dense[at];
      }
    }
    if (symmetric) transposed = dense;
    table = padded(dense, labels, stride, T(0));
    table_t = padded(transposed, labels, stride, T(0));
  }

 private:
  static std::vector<unsigned char> random_labels(Random& random, int64_t count, int64_t labels) {
    const bool wide = labels > cpu::kByteLabels;
    std::vector<unsigned char> bytes(static_cast<size_t>(count) * (wide ? 2 : 1));
    for (int64_t i = 0; i < count; ++i) {
      const auto label = static_cast<uint16_t>(random.uniform(static_cast<double>(labels), 1.0));
      if (wide) {
        std::memcpy(bytes.data() + 2 * i, &label, 2);
      } else {
        bytes[static_cast<size_t>(i)] = static_cast<unsigned char>(label);
      }
    }
    return bytes;
  }
};

template <class T>
cpu::AdjointArgs<T> adjoint_arguments(const PairCase& c, int pair, PairState<T>& s) {
  cpu::AdjointArgs<T> a{};
  a.shape = {c.shape.height, c.shape.width, static_cast<int>(c.shape.labels), s.stride,
             c.shape.connectivity};
  a.rule = c.rule;
  a.pair = pair;
  a.weights = {c.edges ? s.edge_weights.data() : nullptr, T(0.75)};
  a.sum = s.sum.data();
  a.sum_before = s.sum_before.data();
  a.forward = s.forward.data();
  a.backward = s.backward.data();
  a.cavity = c.damping > 0.0 ? s.cavity.data() : s.backward.data();
  a.rho = T(0.375);
  a.damping = static_cast<T>(c.damping);
  a.cost = s.cost.data();
  a.unary = s.unary.data();
  a.unary_head = a.relative = true;
  a.forward_tape = {s.argmin[0].data(), s.minimum[0].data()};
  a.backward_tape = {s.argmin[1].data(), s.minimum[1].data()};
  a.temperature = static_cast<T>(c.temperature);
  a.forward_before = s.before[0].data();
  a.forward_after = s.after[0].data();
  a.backward_before = s.before[1].data();
  a.backward_after = s.after[1].data();
  a.state = s.state.data();
  a.gradient.table = s.table.data();
  a.gradient.table_t = s.table_t.data();
  a.gradient.weight_factor = T(0.5);
  a.gradient.per_edge = c.edges ? s.per_edge.data() : nullptr;
  a.gradient.bins = 1;
  a.threads = 1;
  return a;
}

/// By the CPU, item by item. values: [L][L], added to, or null.
template <class T>
PairState<T> undone_by_cpu(const PairCase& c, int pair, double* values) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  PairState<T> s(c, round_up(c.shape.labels, kernels.lanes));
  cpu::AdjointArgs<T> a = adjoint_arguments(c, pair, s);
  a.gradient.values = values;
  const int64_t pixels = c.item_pixels(), volume = pixels * s.stride;
  for (int64_t b = 0; b < c.shape.batch; ++b) {
    kernels.adjoint_pair(a);
    for (T** v : {&a.sum, &a.sum_before, &a.forward, &a.backward, &a.cavity, &a.unary, &a.state})
      *v += volume;
    for (const T** v :
         {&a.cost, &a.forward_before, &a.forward_after, &a.backward_before, &a.backward_after})
      *v += volume;
    if (c.edges) a.weights.per_edge += c.item_edges();
    if (c.edges) a.gradient.per_edge += c.item_edges();
    for (cpu::ArgminTape* tape : {&a.forward_tape, &a.backward_tape}) {
      tape->argmin = static_cast<char*>(tape->argmin) + pixels * c.shape.labels * c.index_bytes();
      tape->minimum = static_cast<char*>(tape->minimum) + pixels * c.index_bytes();
    }
  }
  return s;
}

/// Memory for MessageGradients; what is never written must never be read.
template <class T>
struct LeftBehind {
  std::vector<T> forward, backward, forward_sender, backward_sender;

  explicit LeftBehind(const PairCase& c) {
    for (std::vector<T>* v : {&forward, &backward, &forward_sender, &backward_sender})
      v->assign(static_cast<size_t>(c.shape.pixels() * c.shape.labels),
                std::numeric_limits<T>::quiet_NaN());
  }
  cuda::MessageGradients<T> get() {
    return {forward.data(), backward.data(), forward_sender.data(), backward_sender.data()};
  }
};

}  // namespace mrfcore::test
