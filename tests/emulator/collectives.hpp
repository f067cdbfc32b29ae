// SPDX-License-Identifier: Apache-2.0
// Barriers, shuffles, votes and reductions under CUDA's names. Every call knows where it stands in
// the source: threads meet only at the same place.
#pragma once

#include <bit>
#include <cstdint>
#include <source_location>
#include <type_traits>

namespace emulator {

using Where = std::source_location;

enum class Direction : std::uint8_t { kIndex, kUp, kDown, kXor };
enum class Reduction : std::uint8_t { kMinimum, kMaximum, kSum, kAnd, kOr, kXor };
enum class BlockVote : std::uint8_t { kNone, kOr, kAnd, kCount };

void sync_warp(unsigned mask, const Where& where);
int sync_block(BlockVote vote, bool predicate, const Where& where);
void sync_grid(const Where& where);
unsigned ballot(unsigned mask, bool predicate, const Where& where);
std::uint64_t reduce(unsigned mask, Reduction reduction, bool is_signed, std::uint64_t value,
                     const Where& where);
std::uint64_t shuffle(unsigned mask, std::uint64_t value, Direction direction, int operand,
                      int width, const Where& where);
void yield_thread();

template <class T>
T shuffle_value(unsigned mask, T value, Direction direction, int operand, int width,
                const Where& where) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "shuffles move values of 4 or 8 bytes");
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<T>(static_cast<Bits>(
      shuffle(mask, std::bit_cast<Bits>(value), direction, operand, width, where)));
}

}  // namespace emulator

// NOLINTBEGIN: names are CUDA's
inline void __syncthreads(emulator::Where where = emulator::Where::current()) {
  emulator::sync_block(emulator::BlockVote::kNone, false, where);
}
inline int __syncthreads_or(int predicate, emulator::Where where = emulator::Where::current()) {
  return emulator::sync_block(emulator::BlockVote::kOr, predicate != 0, where);
}
inline int __syncthreads_and(int predicate, emulator::Where where = emulator::Where::current()) {
  return emulator::sync_block(emulator::BlockVote::kAnd, predicate != 0, where);
}
inline int __syncthreads_count(int predicate, emulator::Where where = emulator::Where::current()) {
  return emulator::sync_block(emulator::BlockVote::kCount, predicate != 0, where);
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU,
                       emulator::Where where = emulator::Where::current()) {
  emulator::sync_warp(mask, where);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              emulator::Where where = emulator::Where::current()) {
  return emulator::shuffle_value(mask, value, emulator::Direction::kIndex, lane, width, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 emulator::Where where = emulator::Where::current()) {
  return emulator::shuffle_value(mask, value, emulator::Direction::kUp, static_cast<int>(delta),
                                 width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   emulator::Where where = emulator::Where::current()) {
  return emulator::shuffle_value(mask, value, emulator::Direction::kDown, static_cast<int>(delta),
                                 width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  emulator::Where where = emulator::Where::current()) {
  return emulator::shuffle_value(mask, value, emulator::Direction::kXor, lane_mask, width, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              emulator::Where where = emulator::Where::current()) {
  return emulator::ballot(mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate,
                      emulator::Where where = emulator::Where::current()) {
  return emulator::ballot(mask, predicate != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      emulator::Where where = emulator::Where::current()) {
  return emulator::ballot(mask, predicate != 0, where) == mask;
}
// Which lanes happen to run together is no property of a program: pass masks.
unsigned __activemask() = delete;

#define EMULATOR_REDUCTION(name, reduction)                                           \
  inline unsigned name(unsigned mask, unsigned value,                                 \
                       emulator::Where where = emulator::Where::current()) {          \
    return static_cast<unsigned>(                                                     \
        emulator::reduce(mask, emulator::Reduction::reduction, false, value, where)); \
  }
#define EMULATOR_SIGNED_REDUCTION(name, reduction)                                                \
  inline int name(unsigned mask, int value, emulator::Where where = emulator::Where::current()) { \
    return static_cast<int>(emulator::reduce(mask, emulator::Reduction::reduction, true,          \
                                             static_cast<std::uint64_t>(value), where));          \
  }
EMULATOR_REDUCTION(__reduce_min_sync, kMinimum)
EMULATOR_REDUCTION(__reduce_max_sync, kMaximum)
EMULATOR_REDUCTION(__reduce_add_sync, kSum)
EMULATOR_REDUCTION(__reduce_and_sync, kAnd)
EMULATOR_REDUCTION(__reduce_or_sync, kOr)
EMULATOR_REDUCTION(__reduce_xor_sync, kXor)
EMULATOR_SIGNED_REDUCTION(__reduce_min_sync, kMinimum)
EMULATOR_SIGNED_REDUCTION(__reduce_max_sync, kMaximum)
EMULATOR_SIGNED_REDUCTION(__reduce_add_sync, kSum)
#undef EMULATOR_REDUCTION
#undef EMULATOR_SIGNED_REDUCTION

// A thread that spins for another must call it: no other thread runs meanwhile.
inline void __nanosleep(unsigned) { emulator::yield_thread(); }

namespace cooperative_groups {

class grid_group {
 public:
  void sync(emulator::Where where = emulator::Where::current()) const {
    emulator::sync_grid(where);
  }
};

inline grid_group this_grid() { return {}; }

}  // namespace cooperative_groups
// NOLINTEND
