// SPDX-License-Identifier: Apache-2.0
// Adjoint sweeps of one direction pair by CUDA's kernels in the emulator and by the CPU's: the same
// bits.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "cpu/kernels.hpp"
#include "emulator/rows.hpp"
#include "kernels.hpp"
#include "ops/dispatch.hpp"
#include "ops/plan.hpp"

namespace mrfcore::test {

/// What labels of a message come from: any, all the same, or for the most part the same (the row's
/// minimum, where a potential is truncated) and else a label close by.
enum class Argmins { Any, Equal, Truncated };

struct AdjointCase {
  cpu::SweepRule rule;
  Shape shape;
  double damping;
  bool table;  ///< V by a table, else by differences
  bool first;  ///< SGM: own unary at heads, sums not relative
  bool edges;  ///< gradients of edge weights
  Argmins argmins = Argmins::Any;
};

/// Everything an adjoint sweep reads and writes, rows of `stride` elements, zeros as padding.
template <class T>
struct AdjointState {
  int64_t stride;
  std::vector<T> sum, sum_before, forward, backward, cavity, cost, unary, per_edge;
  std::vector<T> table, table_t, differences;
  std::vector<unsigned char> argmin[2], minimum[2];
};

inline std::vector<int64_t> random_labels(Random& random, int64_t count, int64_t labels) {
  std::vector<int64_t> found(static_cast<size_t>(count));
  for (int64_t& label : found)
    label = static_cast<int64_t>(random.uniform(static_cast<double>(labels), 1.0));
  return found;
}

inline std::vector<int64_t> random_argmins(Random& random, int64_t pixels, int64_t labels,
                                           Argmins kind) {
  std::vector<int64_t> from = random_labels(random, pixels * labels, labels);
  if (kind == Argmins::Any) return from;
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    int64_t* row = from.data() + pixel * labels;
    const int64_t minimum = row[0];
    for (int64_t l = 0; l < labels; ++l) {
      const bool close = kind == Argmins::Truncated && row[l] % 3 == 0;
      row[l] = close ? std::min(l - l % 5, labels - 1) : minimum;
    }
  }
  return from;
}

/// As a tape keeps them.
inline std::vector<unsigned char> as_tape(const std::vector<int64_t>& from, int64_t labels) {
  const size_t bytes = labels > cpu::kByteLabels ? 2 : 1;
  std::vector<unsigned char> tape(from.size() * bytes);
  for (size_t i = 0; i < from.size(); ++i) {
    const auto label = static_cast<uint16_t>(from[i]);
    std::memcpy(tape.data() + bytes * i, &label, bytes);  // the lower byte first
  }
  return tape;
}

template <class T>
AdjointState<T> state_for(const AdjointCase& c, int64_t stride) {
  const int64_t labels = c.shape.labels, pixels = c.shape.pixels();
  Random random(21);
  const auto volume = [&] {
    std::vector<T> dense = random.array<T>(pixels * labels, 4.0, kFine);
    for (T& x : dense) x -= T(2);
    return padded(dense, labels, stride, T(0));
  };
  AdjointState<T> s;
  s.stride = stride;
  for (std::vector<T>* v :
       {&s.sum, &s.sum_before, &s.forward, &s.backward, &s.cavity, &s.cost, &s.unary})
    *v = volume();
  s.per_edge = random.array<T>(c.shape.connectivity / 2 * pixels, 2.0, kFine);
  s.differences = random.array<T>(labels, 3.0, kFine);
  const std::vector<T> table = random.array<T>(labels * labels, 3.0, kFine);
  std::vector<T> transposed(table.size());
  for (int64_t l = 0; l < labels; ++l) {
    for (int64_t m = 0; m < labels; ++m)
      transposed[static_cast<size_t>(l * labels + m)] = table[static_cast<size_t>(m * labels + l)];
  }
  s.table = padded(table, labels, stride, T(0));
  s.table_t = padded(transposed, labels, stride, T(0));
  for (int way = 0; way < 2; ++way) {
    s.argmin[way] = as_tape(random_argmins(random, pixels, labels, c.argmins), labels);
    s.minimum[way] = as_tape(random_labels(random, pixels, labels), labels);
  }
  return s;
}

template <class T>
cpu::AdjointArgs<T> arguments(const AdjointCase& c, int pair, AdjointState<T>& s) {
  cpu::AdjointArgs<T> a{};
  a.shape = {c.shape.height, c.shape.width, static_cast<int>(c.shape.labels), s.stride,
             c.shape.connectivity};
  a.rule = c.rule;
  a.pair = pair;
  a.weights = {nullptr, T(0.75)};
  a.sum = s.sum.data();
  a.sum_before = s.sum_before.data();
  a.forward = s.forward.data();
  a.backward = s.backward.data();
  a.cavity = c.damping > 0.0 ? s.cavity.data() : s.backward.data();
  a.rho = T(0.375);
  a.damping = static_cast<T>(c.damping);
  a.cost = s.cost.data();
  a.unary = s.unary.data();
  a.unary_head = c.first;
  a.relative = !c.first;
  a.forward_tape = {s.argmin[0].data(), s.minimum[0].data()};
  a.backward_tape = {s.argmin[1].data(), s.minimum[1].data()};
  a.gradient.weight_factor = T(0.5);
  a.gradient.bins = 1;
  if (c.edges) a.gradient.per_edge = s.per_edge.data();
  if (c.table) {
    a.gradient.table = s.table.data();
    a.gradient.table_t = s.table_t.data();
  } else {
    a.gradient.differences = s.differences.data();
    a.gradient.distinct = static_cast<int>(c.shape.labels);
  }
  a.threads = 1;
  return a;
}

template <class T>
AdjointState<T> undone_by_cpu(const AdjointCase& c, int pair) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  AdjointState<T> s = state_for<T>(c, round_up(c.shape.labels, kernels.lanes));
  cpu::AdjointArgs<T> a = arguments(c, pair, s);
  const int64_t pixels = c.shape.height * c.shape.width;
  const int64_t bytes = c.shape.labels > cpu::kByteLabels ? 2 : 1;
  for (int64_t b = 0; b < c.shape.batch; ++b) {
    kernels.adjoint_pair(a);
    for (T** v : {&a.sum, &a.sum_before, &a.forward, &a.backward, &a.cavity, &a.unary})
      *v += pixels * s.stride;
    a.cost += pixels * s.stride;
    if (c.edges) a.gradient.per_edge += c.shape.connectivity / 2 * pixels;
    for (cpu::ArgminTape* tape : {&a.forward_tape, &a.backward_tape}) {
      tape->argmin = static_cast<char*>(tape->argmin) + pixels * c.shape.labels * bytes;
      tape->minimum = static_cast<char*>(tape->minimum) + pixels * bytes;
    }
  }
  return s;
}

/// cuda::adjoint_pair, or another function that does the same.
template <class T>
using AdjointPair = int (*)(const cpu::AdjointArgs<T>&, const cuda::Batch&,
                            const cuda::MessageGradients<T>&, cuda::Stream);

template <class T>
void expect_same(const AdjointCase& c, int pair, AdjointPair<T> adjoint_pair) {
  SCOPED_TRACE(c.shape.text() + ", rule " + std::to_string(static_cast<int>(c.rule)) + ", pair " +
               std::to_string(pair) + ", damping " + std::to_string(c.damping) + ", arg-mins " +
               std::to_string(static_cast<int>(c.argmins)));
  const AdjointState<T> cpu = undone_by_cpu<T>(c, pair);
  AdjointState<T> gpu = state_for<T>(c, c.shape.labels);
  const int64_t pixels = c.shape.height * c.shape.width;
  const cuda::Batch batch{c.shape.batch, pixels * c.shape.labels, c.shape.connectivity / 2 * pixels,
                          pixels * c.shape.labels, pixels};
  ASSERT_EQ(adjoint_pair(arguments(c, pair, gpu), batch, {}, nullptr), 0);
  const auto dense = [&](const std::vector<T>& rows) {
    return unpadded(rows, c.shape.labels, cpu.stride);
  };
  ASSERT_EQ(dense(cpu.sum), gpu.sum) << "sum";
  ASSERT_EQ(dense(cpu.sum_before), gpu.sum_before) << "sum before";
  ASSERT_EQ(dense(cpu.forward), gpu.forward) << "forward";
  ASSERT_EQ(dense(cpu.backward), gpu.backward) << "backward";
  ASSERT_EQ(dense(cpu.cavity), gpu.cavity) << "cavity";
  ASSERT_EQ(dense(cpu.unary), gpu.unary) << "unary";
  ASSERT_EQ(cpu.per_edge, gpu.per_edge) << "edge weights";
}

template <class T>
void check(const AdjointCase& c, AdjointPair<T> adjoint_pair = &cuda::adjoint_pair<T>) {
  for (int pair = 0; pair < c.shape.connectivity / 2; ++pair)
    ASSERT_NO_FATAL_FAILURE(expect_same<T>(c, pair, adjoint_pair));
}

}  // namespace mrfcore::test
