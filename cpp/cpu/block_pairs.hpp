// SPDX-License-Identifier: Apache-2.0
// All unordered pairs of blocks, each once, so that a symmetric kernel matrix is computed in
// halves.
#pragma once

#include <cstdint>

#include "cpu/parallel.hpp"

namespace mrfcore::cpu::MRF_ISA {

/// body(memory, item, i, j) for all 0 <= i <= j < blocks of all items. Pairs come in rounds as in a
/// tournament (the circle method): within a round no block plays twice, so that pairs of a round
/// may add to their blocks' sums side by side, and the rounds fix the order of every sum.
template <class Body>
void for_each_block_pair(int64_t batch, int64_t blocks, int threads, Control* control,
                         const Body& body) {
  parallel_strips(batch * blocks, threads, control, [&](ThreadMemory& memory, int64_t n) {
    body(memory, n / blocks, n % blocks, n % blocks);
  });
  const int64_t players = blocks + blocks % 2, pairs = players / 2, turn = players - 1;
  for (int64_t round = 0; round < turn; ++round) {
    parallel_strips(batch * pairs, threads, control, [&](ThreadMemory& memory, int64_t n) {
      const int64_t k = n % pairs;
      const int64_t one = (round + k) % turn;
      const int64_t other = k == 0 ? turn : (round - k + turn) % turn;
      const int64_t low = one < other ? one : other, high = one < other ? other : one;
      if (high < blocks) body(memory, n / pairs, low, high);  // else: a bye
    });
  }
}

}  // namespace mrfcore::cpu::MRF_ISA
