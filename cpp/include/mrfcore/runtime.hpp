// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace mrfcore {

/// Name of the instruction set in use: "baseline", "avx2" or "avx512" (MRFCORE_CPU_ISA overrides).
std::string cpu_isa();

/// Threads used when none are asked for: MRFCORE_NUM_THREADS, else OpenMP's default.
int default_threads();

/// Bytes of memory the system can still give without swapping, or -1 where that cannot be told.
int64_t available_bytes();

}  // namespace mrfcore
