// SPDX-License-Identifier: Apache-2.0
// Sweeps of one direction pair by CUDA's kernels in the emulator and by the CPU's: the same bits,
// arg-mins included.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "cpu/kernels.hpp"
#include "emulator/rows.hpp"
#include "kernels.hpp"
#include "ops/dispatch.hpp"
#include "ops/plan.hpp"

namespace mrfcore::test {

struct SweepCase {
  cpu::SweepRule rule;
  Shape shape;
  int potential;
  Weights weights;
  double damping;
  bool record;
  bool first;  ///< SGM: own unary at heads, sums not relative
};

inline constexpr int kSweepPotentials = 6;
inline constexpr int kIntegerTable = kSweepPotentials;  ///< for ties

inline Potential sweep_potential(int index, int64_t labels) {
  switch (index) {
    case 0:
      return Potential::potts();
    case 1:
      return Potential::sgm_penalty(0.5, 1.75);
    case 2:
      return Potential::truncated_linear(5);
    case 3:
      return Potential::truncated_quadratic(30);
    case 4:
      return Potential::huber(2);
    case kIntegerTable:
      return Potential::table(Random(4).array<double>(labels * labels, 3.0, 1.0), labels);
    default:
      return Potential::table(Random(4).array<double>(labels * labels, 3.0, kFine), labels);
  }
}

/// Volumes and tapes of one pair, rows of `stride` elements.
template <class T>
struct SweepState {
  int64_t stride;
  std::vector<T> unary, sum, forward, backward, cavity, head_row;
  std::vector<unsigned char> argmin[2], minimum[2];
};

template <class T>
SweepState<T> state_for(const SweepCase& setup, const std::vector<T>& unary, int64_t stride) {
  const int64_t labels = setup.shape.labels, pixels = setup.shape.pixels();
  Random random(11);
  const auto volume = [&](T padding) {
    return padded(random.array<T>(pixels * labels, 4.0, kFine), labels, stride, padding);
  };
  SweepState<T> s;
  s.stride = stride;
  s.unary = padded(unary, labels, stride, cpu::kForbidden<T>);
  s.sum = volume(cpu::kForbidden<T>);
  s.forward = volume(T(0));
  s.backward = volume(T(0));
  s.cavity = volume(T(0));
  s.head_row =
      padded(std::vector<T>(static_cast<size_t>(labels)), labels, stride, cpu::kForbidden<T>);
  const size_t bytes = labels > cpu::kByteLabels ? 2 : 1;
  for (int way = 0; way < 2 && setup.record; ++way) {
    s.argmin[way].assign(static_cast<size_t>(pixels * labels) * bytes, 0xAB);
    s.minimum[way].assign(static_cast<size_t>(pixels) * bytes, 0xAB);
  }
  return s;
}

template <class T>
cpu::SweepArgs<T> arguments(const SweepCase& setup, const Instance<T>& instance, int pair,
                            const OwnedPlan<T>& plan, SweepState<T>& s) {
  cpu::SweepArgs<T> a{};
  a.shape = {setup.shape.height, setup.shape.width, static_cast<int>(setup.shape.labels), s.stride,
             setup.shape.connectivity};
  a.rule = setup.rule;
  a.pair = pair;
  a.weights = {instance.edge_weights.empty() ? nullptr : instance.edge_weights.data(),
               instance.edge_weights.empty() ? instance.weight : T(1)};
  a.plan = &plan.get();
  a.unary = s.unary.data();
  a.sum = s.sum.data();
  a.forward = s.forward.data();
  a.backward = s.backward.data();
  a.cavity = setup.damping > 0.0 ? s.cavity.data() : s.backward.data();
  a.rho = T(0.375);
  a.damping = static_cast<T>(setup.damping);
  a.head_row = setup.first ? nullptr : s.head_row.data();
  a.relative = !setup.first;
  if (setup.record) {
    a.forward_tape = {s.argmin[0].data(), s.minimum[0].data()};
    a.backward_tape = {s.argmin[1].data(), s.minimum[1].data()};
  }
  a.threads = 1;
  return a;
}

/// On the CPU, item by item.
template <class T>
SweepState<T> swept_by_cpu(const SweepCase& setup, const Instance<T>& instance, int pair) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  const T* uniform = instance.edge_weights.empty() ? &instance.weight : nullptr;
  const OwnedPlan<T> plan(instance.pairwise, setup.shape.labels, kernels.lanes,
                          MinConvolution::Auto, uniform);
  SweepState<T> s = state_for(setup, instance.unary, round_up(setup.shape.labels, kernels.lanes));
  cpu::SweepArgs<T> a = arguments(setup, instance, pair, plan, s);
  const int64_t pixels = setup.shape.height * setup.shape.width;
  const int64_t bytes = setup.shape.labels > cpu::kByteLabels ? 2 : 1;
  for (int64_t b = 0; b < setup.shape.batch; ++b) {
    kernels.sweep_pair(a);
    for (T** volume : {&a.sum, &a.cavity}) *volume += pixels * s.stride;
    for (void** volume : {&a.forward, &a.backward})
      *volume = static_cast<T*>(*volume) + pixels * s.stride;
    a.unary += pixels * s.stride;
    if (a.weights.per_edge != nullptr) a.weights.per_edge += instance.weights_size();
    for (cpu::ArgminTape* tape : {&a.forward_tape, &a.backward_tape}) {
      if (tape->argmin == nullptr) continue;
      tape->argmin = static_cast<char*>(tape->argmin) + pixels * setup.shape.labels * bytes;
      tape->minimum = static_cast<char*>(tape->minimum) + pixels * bytes;
    }
  }
  return s;
}

/// cuda::sweep_pair, or another function that does the same.
template <class T>
using SweepPair = int (*)(const cpu::SweepArgs<T>&, const cuda::Batch&, cuda::Stream);

/// By the CUDA kernel, all items in one launch.
template <class T>
SweepState<T> swept_by_cuda(const SweepCase& setup, const Instance<T>& instance, int pair,
                            SweepPair<T> sweep_pair) {
  const T* uniform = instance.edge_weights.empty() ? &instance.weight : nullptr;
  const OwnedPlan<T> plan(instance.pairwise, setup.shape.labels, 1, MinConvolution::Auto, uniform);
  SweepState<T> s = state_for(setup, instance.unary, setup.shape.labels);
  const int64_t pixels = setup.shape.height * setup.shape.width;
  const cuda::Batch batch{setup.shape.batch, pixels * setup.shape.labels,
                          instance.edge_weights.empty() ? 0 : instance.weights_size(),
                          pixels * setup.shape.labels, pixels};
  EXPECT_EQ(sweep_pair(arguments(setup, instance, pair, plan, s), batch, nullptr), 0);
  return s;
}

template <class T>
void expect_same(const SweepCase& setup, const Instance<T>& instance, int pair,
                 SweepPair<T> sweep_pair) {
  SCOPED_TRACE(setup.shape.text() + ", rule " + std::to_string(static_cast<int>(setup.rule)) +
               ", potential " + std::to_string(setup.potential) + ", pair " + std::to_string(pair) +
               ", damping " + std::to_string(setup.damping));
  const SweepState<T> cpu = swept_by_cpu(setup, instance, pair);
  const SweepState<T> gpu = swept_by_cuda(setup, instance, pair, sweep_pair);
  const auto dense = [&](const std::vector<T>& rows) {
    return unpadded(rows, setup.shape.labels, cpu.stride);
  };
  ASSERT_EQ(dense(cpu.sum), gpu.sum) << "sum";
  ASSERT_EQ(dense(cpu.forward), gpu.forward) << "forward";
  ASSERT_EQ(dense(cpu.backward), gpu.backward) << "backward";
  ASSERT_EQ(dense(cpu.cavity), gpu.cavity) << "cavity";
  for (int way = 0; way < 2; ++way) {
    ASSERT_EQ(cpu.argmin[way], gpu.argmin[way]) << "arg-mins, way " << way;
    ASSERT_EQ(cpu.minimum[way], gpu.minimum[way]) << "minima, way " << way;
  }
}

template <class T>
void check(const SweepCase& setup, double grain = kFine,
           SweepPair<T> sweep_pair = &cuda::sweep_pair<T>) {
  const Instance<T> instance = random_instance<T>(
      setup.shape, sweep_potential(setup.potential, setup.shape.labels), setup.weights, 7, grain);
  for (int pair = 0; pair < setup.shape.connectivity / 2; ++pair)
    ASSERT_NO_FATAL_FAILURE(expect_same(setup, instance, pair, sweep_pair));
}

inline constexpr cpu::SweepRule kSweepRules[] = {cpu::SweepRule::SGM, cpu::SweepRule::ISGMR,
                                                 cpu::SweepRule::TRWP};

}  // namespace mrfcore::test
