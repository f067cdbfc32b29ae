// SPDX-License-Identifier: Apache-2.0
//
// The hinge of the pairwise margin loss over all pairs of different groups. As points are sorted by
// group, a pair of blocks is skipped where both hold one and the same group; the gradient's
// products are skipped where no pair of a block costs anything, which is the rule once an embedding
// has learnt its groups.
#include "cpu/pairwise_margin.hpp"

#include "cpu/block_pairs.hpp"
#include "cpu/small_gemm.hpp"

namespace mrfcore::cpu::MRF_ISA {
namespace {

constexpr int64_t kBlock = kMarginBlock;

/// a: x_i . x_j -> d loss / d s_ij; the sum of costs, each pair once.
template <class T>
T hinge(const MarginArgs<T>& args, int64_t at_i, int64_t at_j, T* a) {
  OrderedSum<T> sum;
  const T* group = args.group + at_j;
  const T* weight = args.weight + at_j;
  for (int64_t i = 0; i < kBlock; ++i) {
    T cost[kBlock];
    T* __restrict row = a + i * kBlock;
    const T own_group = args.group[at_i + i];
    const T own_weight = args.neg_weight * args.weight[at_i + i];
    for (int64_t j = 0; j < kBlock; ++j) {
      const T over = (T(0.5) + T(0.5) * row[j]) - args.alpha;
      const T pair = group[j] == own_group ? T(0) : own_weight * weight[j];
      const T slope = over > T(0) ? pair : T(0);
      cost[j] = slope * over;
      row[j] = slope;
    }
    for (int64_t j = 0; j < kBlock; j += kLanes<T>) sum.add(j, load(cost + j));
  }
  return sum.total();
}

template <class T>
bool one_group(const MarginArgs<T>& args, int64_t at_i, int64_t at_j) {
  const T first = args.group[at_i];
  return args.group[at_i + kBlock - 1] == first && args.group[at_j] == first &&
         args.group[at_j + kBlock - 1] == first;
}

template <class T>
void add_pair(const MarginArgs<T>& args, ThreadMemory& memory, int64_t i, int64_t j) {
  const int64_t at_i = i * kBlock, at_j = j * kBlock, stride = args.stride;
  if (one_group(args, at_i, at_j)) return;
  auto* a = static_cast<T*>(memory.reserve(kBlock * kBlock * static_cast<int64_t>(sizeof(T))));
  multiply<Product, false>(kBlock, kBlock, args.dims,
                           Strided<T>{args.rows + at_i * stride, stride, 1},
                           args.columns + at_j * stride, kBlock, a, kBlock);
  const T cost = hinge(args, at_i, at_j, a);
  if (!(cost > 0)) return;
  // A diagonal block has both orders of its pairs, another one has them once.
  args.loss[i] += static_cast<double>(cost) * (i == j ? 1 : 2);
  if (args.gradient == nullptr) return;
  multiply<Product, true>(kBlock, stride, kBlock, Strided<T>{a, kBlock, 1},
                          args.rows + at_j * stride, stride, args.gradient + at_i * stride, stride);
  if (i == j) return;
  multiply<Product, true>(kBlock, stride, kBlock, Strided<T>{a, 1, kBlock},
                          args.rows + at_i * stride, stride, args.gradient + at_j * stride, stride);
}

template <class T>
void different_groups(const MarginArgs<T>& args) {
  for_each_block_pair(
      1, args.blocks, args.threads, nullptr,
      [&](ThreadMemory& memory, int64_t, int64_t i, int64_t j) { add_pair(args, memory, i, j); });
}

}  // namespace

template <class T>
const MarginKernels<T>& margin_kernels() {
  static constexpr MarginKernels<T> table{different_groups<T>};
  return table;
}

template const MarginKernels<float>& margin_kernels<float>();
template const MarginKernels<double>& margin_kernels<double>();

}  // namespace mrfcore::cpu::MRF_ISA
