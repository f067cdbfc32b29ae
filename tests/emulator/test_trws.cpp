// SPDX-License-Identifier: Apache-2.0
// CUDA's TRW-S passes and conditioned labellings in the emulator against the CPU's: the same bits
// of messages, bounds and labels.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../cpp/instances.hpp"
#include "cpu/kernels.hpp"
#include "emulator/emulator.hpp"
#include "emulator/potentials.hpp"
#include "emulator/rows.hpp"
#include "kernels.hpp"
#include "ops/dispatch.hpp"
#include "ops/plan.hpp"

namespace mrfcore::test {
namespace {

struct TrwsCase {
  Shape shape;
  int potential;
  Weights weights;
  double grain = kFine;
  cpu::Corner corner = {};
};

/// A problem of one batch, with rows of `stride` elements.
template <class T>
struct State {
  Instance<T> instance;
  int64_t stride;
  std::vector<T> unary;
  std::vector<std::vector<T>> messages;
  std::vector<double> row_bound;
  std::vector<int32_t> labels, progress;
  OwnedPlan<T> plan;
  PotentialTables<T> tables;
  cpu::Corner corner;

  /// `messages` are random: what is at the image's border counts, too, and the same on both sides.
  State(const TrwsCase& c, int64_t lanes)
      : instance(random_instance<T>(c.shape, hard_potential(c.potential, c.shape.labels), c.weights,
                                    7, c.grain)),
        stride(round_up(c.shape.labels, lanes)),
        row_bound(static_cast<size_t>(c.shape.batch * c.shape.height)),
        labels(static_cast<size_t>(c.shape.pixels()), 77),
        progress(static_cast<size_t>(c.shape.batch * (c.shape.height + 1)), 99),
        plan(instance.pairwise, c.shape.labels, lanes, MinConvolution::Auto,
             instance.edge_weights.empty() ? &instance.weight : nullptr),
        tables(instance.pairwise, c.shape.labels, stride, T(1)),
        corner(c.corner) {
    if (c.shape.labels > 1) {  // of a node without a label that is allowed, bits mean nothing
      instance.unary[0] = cpu::kForbidden<T>;
      instance.unary[instance.unary.size() / 2] = cpu::kForbidden<T>;
    }
    unary = padded(instance.unary, c.shape.labels, stride, cpu::kForbidden<T>);
    Random random(11);
    for (int r = 0; r < c.shape.connectivity; ++r) {
      messages.push_back(padded(random.array<T>(c.shape.pixels() * c.shape.labels, 4.0, c.grain),
                                c.shape.labels, stride, T(0)));
    }
  }

  const Shape& shape() const { return instance.shape; }
  int64_t pixels() const { return shape().height * shape().width; }
  cpu::GridShape grid() const {
    return {shape().height, shape().width, static_cast<int>(shape().labels), stride,
            shape().connectivity};
  }
  cpu::EdgeWeightView<T> weights(int64_t item) const {
    if (instance.edge_weights.empty()) return {nullptr, instance.weight};
    return {instance.edge_weights.data() + item * instance.weights_size(), T(0.5)};
  }
  std::vector<void*> volumes(int64_t item) {
    std::vector<void*> all;
    for (auto& m : messages) all.push_back(m.data() + item * pixels() * stride);
    return all;
  }
  cpu::TrwsArgs<T> pass(bool backward, bool bound, int64_t item, void* const* volumes_of_item) {
    return {grid(),
            backward,
            weights(item),
            &plan.get(),
            unary.data() + item * pixels() * stride,
            volumes_of_item,
            bound ? row_bound.data() + item * shape().height : nullptr,
            1,
            nullptr};
  }
  cpu::LabellingArgs<T> labelling(int64_t item, void* const* volumes_of_item) {
    return {grid(),
            weights(item),
            tables.forward(),
            tables.backward(),
            unary.data() + item * pixels() * stride,
            volumes_of_item,
            labels.data() + item * pixels(),
            1,
            nullptr,
            corner};
  }
};

/// A pass of `backward` and one the other way, then labels; on the CPU item by item.
template <class T>
State<T> by_cpu(const TrwsCase& c, bool backward) {
  const cpu::Kernels<T>& kernels = kernels_for<T>(Isa::Baseline);
  State<T> s(c, kernels.lanes);
  for (int64_t item = 0; item < c.shape.batch; ++item) {
    const std::vector<void*> volumes = s.volumes(item);
    kernels.trws_pass(s.pass(backward, false, item, volumes.data()));
    kernels.trws_pass(s.pass(!backward, true, item, volumes.data()));
    kernels.trws_labels(s.labelling(item, volumes.data()));
  }
  return s;
}

template <class T>
State<T> by_cuda(const TrwsCase& c, bool backward) {
  State<T> s(c, 1);
  const std::vector<void*> volumes = s.volumes(0);
  const cuda::Batch batch{c.shape.batch, s.pixels() * c.shape.labels,
                          s.instance.edge_weights.empty() ? 0 : s.instance.weights_size(), 0, 0};
  const auto progress = s.progress.data();
  EXPECT_EQ(cuda::trws_pass(s.pass(backward, false, 0, volumes.data()), batch, progress, nullptr),
            0);
  EXPECT_EQ(cuda::trws_pass(s.pass(!backward, true, 0, volumes.data()), batch, progress, nullptr),
            0);
  EXPECT_EQ(cuda::trws_labels(s.labelling(0, volumes.data()), batch, progress, nullptr), 0);
  return s;
}

template <class T>
void check(const TrwsCase& c) {
  for (const bool backward : {false, true}) {
    SCOPED_TRACE(c.shape.text() + ", potential " + std::to_string(c.potential) +
                 (backward ? ", backward first" : ", forward first"));
    const State<T> cpu = by_cpu<T>(c, backward);
    const State<T> gpu = by_cuda<T>(c, backward);
    for (size_t r = 0; r < cpu.messages.size(); ++r) {
      ASSERT_EQ(unpadded(cpu.messages[r], c.shape.labels, cpu.stride), gpu.messages[r])
          << "direction " << r;
    }
    ASSERT_EQ(cpu.row_bound, gpu.row_bound);
    ASSERT_EQ(cpu.labels, gpu.labels);
  }
}

template <class T>
class CudaTrws : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaTrws, Reals);

TYPED_TEST(CudaTrws, GivesTheCpusBitsForEveryPotential) {
  for (int potential = 0; potential < kHardPotentials; ++potential) {
    for (const Weights weights : {Weights::Scalar, Weights::PerEdge}) {
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({{4, 5, 13, 8, 2}, potential, weights}));
      ASSERT_NO_FATAL_FAILURE(check<TypeParam>({{3, 4, 40, 4}, potential, weights}));
    }
  }
}

/// Rows of more than 16 nodes, too, of which the bound makes groups.
TYPED_TEST(CudaTrws, GivesTheCpusBitsInAllDirectionsAndShapes) {
  for (const Shape& shape : {Shape{1, 1, 3, 16}, Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16},
                             Shape{5, 2, 4, 16}, Shape{2, 34, 4, 16, 2}, Shape{6, 7, 33, 8},
                             Shape{5, 7, 3, 16}, Shape{1, 1, 2, 4}, Shape{9, 3, 2, 4}}) {
    ASSERT_NO_FATAL_FAILURE(check<TypeParam>({shape, 2, Weights::PerEdge}));
  }
}

TYPED_TEST(CudaTrws, GivesTheCpusBitsForAnyNumberOfLabels) {
  for (const int64_t labels : {1, 2, 3, 31, 32, 64, 65, 96, 128, 129, 256}) {
    for (const int connectivity : {4, 16}) {
      for (const int potential : {0, 2}) {
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({{2, 3, labels, connectivity}, potential, Weights::PerEdge}));
      }
    }
  }
}

TYPED_TEST(CudaTrws, LabelsFromEveryCorner) {
  for (const bool bottom : {false, true}) {
    for (const bool right : {false, true}) {
      for (const Shape& shape : {Shape{4, 5, 13, 4, 2}, Shape{5, 9, 33, 8}, Shape{7, 6, 3, 16, 2},
                                 Shape{1, 7, 5, 16}, Shape{7, 1, 5, 16}}) {
        const cpu::Corner corner{bottom, right};
        for (const int potential : {2, kHardPotentials - 1})
          ASSERT_NO_FATAL_FAILURE(
              check<TypeParam>({shape, potential, Weights::PerEdge, kFine, corner}));
        ASSERT_NO_FATAL_FAILURE(check<TypeParam>({shape, 0, Weights::PerEdge, 1.0, corner}));
      }
    }
  }
}

/// Integers: ties everywhere, and the lowest label must win them.
TYPED_TEST(CudaTrws, BreaksTiesAsTheCpuDoes) {
  for (const int potential : {0, 2}) {
    ASSERT_NO_FATAL_FAILURE(check<TypeParam>({{5, 6, 37, 8}, potential, Weights::PerEdge, 1.0}));
  }
}

/// Blocks that are under way together wait for each other's rows.
TYPED_TEST(CudaTrws, DoesNotDependOnTheOrderOfThreadsAndBlocks) {
  for (const emulator::Order order :
       {emulator::Order::kForward, emulator::Order::kReversed, emulator::Order::kShuffled}) {
    for (const unsigned blocks : {1U, 3U, 100U}) {
      const emulator::ScopedOrder scope(order, blocks, blocks);
      for (const int connectivity : {4, 16}) {
        ASSERT_NO_FATAL_FAILURE(
            check<TypeParam>({{6, 5, 40, connectivity, 2}, 2, Weights::PerEdge}));
      }
    }
  }
}

TEST(CudaTrwsWide, KeepsAsManyLabelsAsAWarpHolds) {
  check<float>({{2, 2, 300, 16}, 2, Weights::PerEdge});
}

/// Rows beyond a warp, in shared memory.
TYPED_TEST(CudaTrws, GivesTheCpusBitsForRowsBeyondAWarp) {
  const int64_t labels = cuda::kMostLabels<TypeParam> + 5;
  for (int potential = 0; potential < kHardPotentials; ++potential)
    ASSERT_NO_FATAL_FAILURE(check<TypeParam>({{2, 3, labels, 4}, potential, Weights::PerEdge}));
  ASSERT_NO_FATAL_FAILURE(check<TypeParam>({{2, 18, labels, 4}, 0, Weights::Scalar}));
  for (const emulator::Order order : {emulator::Order::kReversed, emulator::Order::kShuffled}) {
    const emulator::ScopedOrder scope(order, 7, 4);
    ASSERT_NO_FATAL_FAILURE(check<TypeParam>({{4, 3, labels, 16, 2}, 2, Weights::PerEdge}));
  }
}

TEST(CudaTrwsWide, RefusesWhatItHasNoKernelFor) {
  cpu::MinConvolutionPlan<float> plan{};
  cpu::TrwsArgs<float> args{};
  void* const messages[4] = {};
  int32_t progress[2];
  args.shape = {1, 2, 65535, 65535, 4};
  args.plan = &plan;
  args.messages = messages;
  EXPECT_EQ(cuda::trws_pass(args, {1, 0, 0, 0, 0}, progress, nullptr), cudaErrorInvalidValue);
  args.shape.labels = 4;
  for (const auto kind : {cpu::MinConvolutionKind::Envelope, cpu::MinConvolutionKind::SoftTable}) {
    plan.kind = kind;
    EXPECT_EQ(cuda::trws_pass(args, {1, 0, 0, 0, 0}, progress, nullptr), cudaErrorInvalidValue);
  }
}

}  // namespace
}  // namespace mrfcore::test
