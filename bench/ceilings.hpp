// SPDX-License-Identifier: Apache-2.0
// What this machine can do at best: the yardsticks of bandwidth and arithmetic.
#pragma once

#include <cstdint>
#include <vector>

namespace mrfcore::bench {

/// Inner loops, compiled once per instruction set (ceiling_kernels.cpp).
struct CeilingKernels {
  const char* isa;
  int64_t pairs_per_step;  ///< label pairs in one step of the min-plus loops
  /// acc = min(acc, h + v) on registers, `steps` times; returns something that depends on it.
  float (*min_plus)(int64_t steps);
  /// The same with the sum as h * 1 + v: equal bits, and on some CPUs (AMD's) the fused unit leaves
  /// the adders to the minima. Null where there is no fused multiply-add.
  float (*min_plus_fused)(int64_t steps);
  /// acc = acc + h * v, fused where there is such a thing: what mean field's products are made of.
  float (*multiply_add)(int64_t steps);
  void (*copy)(const float* from, float* to, int64_t n);
  /// a *= factor: every value read and written in place, as sweeps do.
  void (*update)(float* a, float factor, int64_t n);
};

/// Those that this machine can run, the widest last.
std::vector<CeilingKernels> ceiling_kernels();

/// Label pairs per second of all threads together, the faster of both forms.
double min_plus_pairs_per_second(const CeilingKernels& kernels, int threads);

/// Products added up per second of all threads together.
double multiply_adds_per_second(const CeilingKernels& kernels, int threads);

enum class Stream { Copy, Update };

/// Two arrays of 256 MiB, larger than any cache.
class StreamArrays {
 public:
  explicit StreamArrays(int64_t elements = int64_t{1} << 26);
  /// The fastest of a few passes, bytes read and written per second.
  double bytes_per_second(const CeilingKernels& kernels, Stream kind, int threads);

 private:
  std::vector<float> a_, b_;
};

}  // namespace mrfcore::bench
