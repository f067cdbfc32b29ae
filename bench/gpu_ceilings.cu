// SPDX-License-Identifier: Apache-2.0
// How many min-plus pairs a GPU computes per second: h + v and a minimum, without and with the
// label that attains it, from registers. bench/gpu.py compiles it for the GPU at hand (-fmad=false,
// as the kernels) and reads what it prints, a line of JSON.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kThreads = 256, kRows = 8, kColumns = 8, kRounds = 2048;

void check(cudaError_t code) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(code));
  std::exit(1);
}

/// Each thread: kColumns minima over kRows x kRounds candidates. Values change from round to round,
/// so that nothing can be computed once and for all.
template <bool Argmin>
__global__ void min_plus(const float* from, float* to) {
  float h[kRows], best[kColumns];
  int label[kColumns];
  const int thread = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  for (int m = 0; m < kRows; ++m) h[m] = from[(thread + m) & 1023];
  for (int l = 0; l < kColumns; ++l) {
    best[l] = 1e30F;
    label[l] = 0;
  }
  float v = from[thread & 1023];
  for (int round = 0; round < kRounds; ++round) {
#pragma unroll
    for (int m = 0; m < kRows; ++m) {
#pragma unroll
      for (int l = 0; l < kColumns; ++l) {
        const float candidate = h[m] + (v + static_cast<float>(l));
        if (Argmin && candidate < best[l]) label[l] = round * kRows + m;
        best[l] = fminf(best[l], candidate);
      }
    }
    v *= 0.999F;
  }
  float sum = 0.0F;
  for (int l = 0; l < kColumns; ++l) sum += best[l] + static_cast<float>(label[l]);
  to[thread] = sum;
}

/// Pairs per second, the median of several launches.
template <bool Argmin>
double measure(int blocks, const float* from, float* to) {
  constexpr int kSamples = 9;
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  std::vector<float> milliseconds;
  for (int i = -2; i < kSamples; ++i) {
    check(cudaEventRecord(begin));
    min_plus<Argmin><<<static_cast<unsigned>(blocks), kThreads>>>(from, to);
    check(cudaGetLastError());
    check(cudaEventRecord(end));
    check(cudaEventSynchronize(end));
    float taken = 0.0F;
    check(cudaEventElapsedTime(&taken, begin, end));
    if (i >= 0) milliseconds.push_back(taken);
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  const double pairs = double{kRows} * kColumns * kRounds * kThreads * blocks;
  return pairs / (milliseconds[kSamples / 2] * 1e-3);
}

}  // namespace

int main() {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0));
  const int blocks = properties.multiProcessorCount * 8 * 4;
  std::vector<float> values(1024);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 37 % 101);
  float *from = nullptr, *to = nullptr;
  check(cudaMalloc(&from, values.size() * sizeof(float)));
  check(cudaMalloc(&to, static_cast<size_t>(blocks) * kThreads * sizeof(float)));
  check(cudaMemcpy(from, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice));
  const double plain = measure<false>(blocks, from, to), argmin = measure<true>(blocks, from, to);
  std::printf("{\"min_plus_pairs_per_s\": %.6g, \"with_argmin_pairs_per_s\": %.6g}\n", plain,
              argmin);
  return 0;
}
