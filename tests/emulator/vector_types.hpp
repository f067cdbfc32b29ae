// SPDX-License-Identifier: Apache-2.0
// CUDA's qualifiers and vector types for a C++ compiler. Alignments are CUDA's, so that UBSan finds
// a misaligned vector load that would trap on a GPU.
#pragma once

#define __global__
#define __grid_constant__
#define __device__
#define __host__
#define __constant__ const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static_assert(false, "use MRF_SHARED (cuda/device.cuh)");

// NOLINTBEGIN: names are CUDA's
#define EMULATOR_VECTOR2(name, scalar, alignment)                      \
  struct __attribute__((aligned(alignment))) name##2 { scalar x, y; }; \
  constexpr name##2 make_##name##2(scalar x, scalar y) { return {x, y}; }
#define EMULATOR_VECTOR3(name, scalar) \
  struct name##3 { scalar x, y, z; };  \
  constexpr name##3 make_##name##3(scalar x, scalar y, scalar z) { return {x, y, z}; }
#define EMULATOR_VECTOR4(name, scalar, alignment)                            \
  struct __attribute__((aligned(alignment))) name##4 { scalar x, y, z, w; }; \
  constexpr name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }

EMULATOR_VECTOR2(char, signed char, 2)
EMULATOR_VECTOR2(uchar, unsigned char, 2)
EMULATOR_VECTOR2(short, short, 4)
EMULATOR_VECTOR2(ushort, unsigned short, 4)
EMULATOR_VECTOR2(int, int, 8)
EMULATOR_VECTOR2(uint, unsigned, 8)
EMULATOR_VECTOR2(float, float, 8)
EMULATOR_VECTOR2(double, double, 16)
EMULATOR_VECTOR2(longlong, long long, 16)
EMULATOR_VECTOR2(ulonglong, unsigned long long, 16)
EMULATOR_VECTOR3(int, int)
EMULATOR_VECTOR3(uint, unsigned)
EMULATOR_VECTOR3(float, float)
EMULATOR_VECTOR4(char, signed char, 4)
EMULATOR_VECTOR4(uchar, unsigned char, 4)
EMULATOR_VECTOR4(short, short, 8)
EMULATOR_VECTOR4(ushort, unsigned short, 8)
EMULATOR_VECTOR4(int, int, 16)
EMULATOR_VECTOR4(uint, unsigned, 16)
EMULATOR_VECTOR4(float, float, 16)

#undef EMULATOR_VECTOR2
#undef EMULATOR_VECTOR3
#undef EMULATOR_VECTOR4

struct dim3 {
  unsigned x, y, z;

  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};
// NOLINTEND
