// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mrfcore {

/// What messages are kept in between sweeps. They are computed in the unaries' type whatever that
/// is; rounding them moves where a solver ends, but any messages reparametrise the energy, so
/// energies and bounds stay true.
enum class MessageDtype : int32_t {
  Full,      ///< the unaries' type
  Float16,   ///< 11 significant bits, up to 65504
  BFloat16,  ///< 8 significant bits, as large as float32
};

/// Bytes of a message's element, `full` being those of the unaries' type: double is always kept
/// whole.
constexpr int64_t message_bytes(MessageDtype storage, int64_t full) {
  return storage == MessageDtype::Full || full != 4 ? full : 2;
}

/// Largest number that Float16 holds.
inline constexpr double kLargestFloat16 = 65504.0;
/// Below, the largest message would keep less than 4 of the 11 bits: Float16's smallest number is
/// 2^-24.
inline constexpr double kSmallestRangeFloat16 = 1e-3;

}  // namespace mrfcore
