// SPDX-License-Identifier: Apache-2.0
// Orders: 0 .. n-1, backwards, or shuffled. The same on every machine, unlike std::shuffle's.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "emulator/settings.hpp"

namespace emulator {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // A number below `end`.
  unsigned below(unsigned end) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX generator
    return static_cast<unsigned>(((state_ >> 32) * end) >> 32);
  }

 private:
  std::uint64_t state_;
};

// Puts 0 .. count-1 in the order asked for.
inline void make_order(std::vector<unsigned>& numbers, unsigned count, Order order,
                       Random& random) {
  numbers.resize(count);
  for (unsigned i = 0; i < count; ++i) numbers[i] = order == Order::kReversed ? count - 1 - i : i;
  if (order != Order::kShuffled) return;
  for (unsigned i = count; i > 1; --i) std::swap(numbers[i - 1], numbers[random.below(i)]);
}

}  // namespace emulator
