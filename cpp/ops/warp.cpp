// SPDX-License-Identifier: Apache-2.0
#include "ops/warp.hpp"

#include <stdexcept>
#include <string>

#include "cpu/warp.hpp"
#include "ops/dispatch.hpp"

namespace mrfcore {
namespace {

template <class T>
const cpu::WarpKernels<T>& kernels() {
  switch (active_isa()) {
#ifdef MRFCORE_HAVE_AVX512
    case Isa::Avx512:
      return cpu::avx512::warp_kernels<T>();
#endif
#ifdef MRFCORE_HAVE_AVX2
    case Isa::Avx2:
      return cpu::avx2::warp_kernels<T>();
#endif
    default:
      return cpu::baseline::warp_kernels<T>();
  }
}

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

// Coordinates are exact in float up to 2^24; a product of five sizes stays below 2^63.
void check_size(const char* name, int64_t value, int64_t least) {
  constexpr int64_t kMost = int64_t{1} << 24;
  if (value >= least && value <= kMost) return;
  fail(std::string(name) + " is " + std::to_string(value) + ", expected " + std::to_string(least) +
       ".." + std::to_string(kMost));
}

// Kernels index a plane by 32 bits.
void check_plane(int64_t height, int64_t width) {
  constexpr int64_t kMostPixels = (int64_t{1} << 31) - 1;
  if (height <= kMostPixels / width) return;
  fail("height and width are " + std::to_string(height) + " x " + std::to_string(width) +
       ", expected fewer than 2^31 pixels");
}

void check_data(const char* name, const void* data, int64_t elements) {
  if (data == nullptr && elements > 0) fail(std::string(name) + " has no data");
}

template <class T>
cpu::WarpArgs<T> arguments(const WarpProblem& p, const T* image, const T* flow) {
  cpu::WarpArgs<T> a{};
  a.batch = p.batch;
  a.channels = p.channels;
  a.height = p.height;
  a.width = p.width;
  a.out_height = p.out_height;
  a.out_width = p.out_width;
  a.padding = p.padding;
  a.threads = threads_for(p.batch * (p.channels + 2) * p.out_height * p.out_width, p.threads);
  a.image = image;
  a.flow = flow;
  return a;
}

}  // namespace

void check_warp(const WarpProblem& p, const void* image, const void* flow, const char* name,
                const void* result) {
  check_size("batch", p.batch, 0);
  check_size("channels", p.channels, 0);
  check_size("height", p.height, 1);
  check_size("width", p.width, 1);
  check_plane(p.height, p.width);
  check_size("out_height", p.out_height, 1);
  check_size("out_width", p.out_width, 1);
  check_data("image", image, p.batch * p.channels);
  check_data("flow", flow, p.batch);
  check_data(name, result, p.batch * p.channels);
}

template <class T>
void warp(const WarpProblem& problem, const T* image, const T* flow, T* out, uint8_t* valid) {
  check_warp(problem, image, flow, "out", out);
  cpu::WarpArgs<T> a = arguments(problem, image, flow);
  a.out = out;
  a.valid = valid;
  kernels<T>().forward(a);
}

template <class T>
void warp_gradient(const WarpProblem& problem, const T* image, const T* flow, const T* grad_out,
                   T* grad_image, T* grad_flow) {
  check_warp(problem, image, flow, "grad_out", grad_out);
  cpu::WarpArgs<T> a = arguments(problem, image, flow);
  a.grad_out = grad_out;
  a.grad_image = grad_image;
  a.grad_flow = grad_flow;
  kernels<T>().gradient(a);
}

template void warp<float>(const WarpProblem&, const float*, const float*, float*, uint8_t*);
template void warp<double>(const WarpProblem&, const double*, const double*, double*, uint8_t*);
template void warp_gradient<float>(const WarpProblem&, const float*, const float*, const float*,
                                   float*, float*);
template void warp_gradient<double>(const WarpProblem&, const double*, const double*, const double*,
                                    double*, double*);

}  // namespace mrfcore
