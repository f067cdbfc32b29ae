// SPDX-License-Identifier: Apache-2.0
// Public functions of warps on a GPU: checks, memory.
// First: its table takes addresses of kernels, which are called as what is declared below.
#include "device/library.hpp"

#include "device/workspace.hpp"
#include "mrfcore/cuda_warp.hpp"
#include "ops/warp.hpp"

namespace mrfcore::cuda {

template <class T>
void warp(const WarpProblem& problem, const T* image, const T* flow, T* out, uint8_t* valid,
          const Queue& queue) {
  check_warp(problem, image, flow, "out", out);
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  check(functions, functions.flows<T>().warp(problem, image, flow, out, valid, queue.stream),
        "warp");
}

template <class T>
int64_t warp_gradient_workspace_bytes(const WarpProblem& problem) {
  return kernels::warp_workspace_bytes<T>(problem);
}

template <class T>
void warp_gradient(const WarpProblem& problem, const T* image, const T* flow, const T* grad_out,
                   T* grad_image, T* grad_flow, const Queue& queue) {
  check_warp(problem, image, flow, "grad_out", grad_out);
  if (grad_image != nullptr) expect_workspace(queue, warp_gradient_workspace_bytes<T>(problem));
  const Functions& functions = library();
  const DeviceGuard guard(functions, queue.device);
  const Flows<T>& run = functions.flows<T>();
  if (grad_flow != nullptr) {
    check(functions,
          run.warp_flow_gradient(problem, image, flow, grad_out, grad_flow, queue.stream),
          "gradient of the flow");
  }
  if (grad_image == nullptr) return;
  check(functions,
        run.warp_image_gradient(problem, flow, grad_out, grad_image, queue.workspace, queue.stream),
        "gradient of the image");
}

#define MRFCORE_INSTANTIATE(T)                                                               \
  template void warp<T>(const WarpProblem&, const T*, const T*, T*, uint8_t*, const Queue&); \
  template int64_t warp_gradient_workspace_bytes<T>(const WarpProblem&);                     \
  template void warp_gradient<T>(const WarpProblem&, const T*, const T*, const T*, T*, T*,   \
                                 const Queue&);
MRFCORE_INSTANTIATE(float)
MRFCORE_INSTANTIATE(double)
#undef MRFCORE_INSTANTIATE

}  // namespace mrfcore::cuda
