// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mrfcore::cpu {

template <int Bytes>
struct LaneOf;
template <>
struct LaneOf<4> {
  typedef int32_t type;
};
template <>
struct LaneOf<8> {
  typedef int64_t type;
};
/// Integer as wide as a T: labels beside the values they belong to.
template <class T>
using Lane = typename LaneOf<static_cast<int>(sizeof(T))>::type;

}  // namespace mrfcore::cpu
