// SPDX-License-Identifier: Apache-2.0
// MRF_HD marks scalar mathematics that the CPU and the CUDA back-end both compile.
#pragma once

#if defined(__CUDACC__)
#define MRF_HD __host__ __device__
#else
#define MRF_HD
#endif

// Core functions must vanish into their callers: an out-of-line copy compiled with AVX-512 could be
// the one that the linker keeps for everybody.
#define MRF_CORE MRF_HD inline __attribute__((always_inline))
