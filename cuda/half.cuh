// SPDX-License-Identifier: Apache-2.0
// Numbers of two bytes as kernels read and write them: widened exactly, narrowed to the nearest,
// ties to even. The bits of cpp/cpu/filter_rows.hpp, but for the payloads of NaN.
#pragma once

#include <cstdint>

#include "device.cuh"

namespace mrfcore::cuda {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(BFloat16 x) {
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}
__device__ __forceinline__ float widen(Float16 x) {
#if defined(MRF_CUDA_EMULATOR)
  const unsigned magnitude = (x.bits & 0x7fffU) << 13, sign = (x.bits & 0x8000U) << 16;
  // The exponent is one of float's once 2^112 is taken off; infinity and NaN keep all its bits.
  const bool special = (x.bits & 0x7c00U) == 0x7c00U;
  const float finite = __uint_as_float(magnitude) * 5.192296858534828e33F;
  return __uint_as_float((special ? magnitude | 0x7f800000U : __float_as_uint(finite)) | sign);
#else
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
  return wide;
#endif
}

__device__ __forceinline__ void narrow(float x, float* to) { *to = x; }
__device__ __forceinline__ void narrow(double x, double* to) { *to = x; }
__device__ __forceinline__ void narrow(float x, BFloat16* to) {
  const unsigned bits = __float_as_uint(x);
  const unsigned rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const bool nan = (bits & 0x7fffffffU) > 0x7f800000U;
  to->bits = static_cast<uint16_t>(nan ? (bits >> 16) | 0x40U : rounded);
}
__device__ __forceinline__ void narrow(float x, Float16* to) {
#if defined(MRF_CUDA_EMULATOR)
  const unsigned bits = __float_as_uint(x), magnitude = bits & 0x7fffffffU;
  // Below 2^-14: adding 0.5 leaves the number in the last bits, rounded.
  const unsigned small = __float_as_uint(__uint_as_float(magnitude) + 0.5F) - 0x3f000000U;
  const unsigned normal = (magnitude - (112U << 23) + 0xfffU + ((magnitude >> 13) & 1U)) >> 13;
  const unsigned special = magnitude > 0x7f800000U ? 0x7e00U : 0x7c00U;
  const unsigned finite = magnitude < (113U << 23) ? small : normal;
  const unsigned value = magnitude >= (143U << 23) ? special : finite;
  to->bits = static_cast<uint16_t>(value | (bits >> 16 & 0x8000U));
#else
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to->bits) : "f"(x));
#endif
}

}  // namespace mrfcore::cuda
