// SPDX-License-Identifier: Apache-2.0
// Which instruction set and how many threads a call uses.
#pragma once

#include "cpu/kernels.hpp"

namespace mrfcore {

enum class Isa { Baseline, Avx2, Avx512 };

/// The best one this machine runs, or what MRFCORE_CPU_ISA names (std::invalid_argument if it
/// cannot be had).
Isa active_isa();
const char* isa_name(Isa isa);

/// `requested`, or if it is 0: MRFCORE_NUM_THREADS, else OpenMP's default. Throws on negative or
/// malformed values.
int resolve_threads(int requested);

/// `threads`, or 1 for fewer elements than are worth a parallel region: entering one costs
/// microseconds, and milliseconds on a busy machine. Results do not depend on it.
int worthwhile_threads(int threads, int64_t elements);

/// resolve_threads(requested); the default is one thread where a call visits few elements.
int threads_for(int64_t elements, int requested);

template <class T>
const cpu::Kernels<T>& kernels_for(Isa isa);

/// Kernels for rows of `labels`: active_isa(), or a narrower one where its padding at most halves
/// the memory (2 labels would fill an eighth of an AVX-512 vector). All compute the same bits.
template <class T>
const cpu::Kernels<T>& kernels_for_labels(int64_t labels);

}  // namespace mrfcore
