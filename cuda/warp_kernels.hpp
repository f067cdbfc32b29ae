// SPDX-License-Identifier: Apache-2.0
// Warps on the GPU: host functions with device pointers, as those of filter_flow_kernels.hpp.
#pragma once

#include <cstdint>

#include "mrfcore/warp.hpp"

namespace mrfcore::cuda::kernels {

/// See mrfcore::warp.
template <class T>
int warp(const WarpProblem& problem, const T* image, const T* flow, T* out, uint8_t* valid,
         void* stream);

/// The part of mrfcore::warp_gradient that goes to the flow: the same bits.
template <class T>
int warp_flow_gradient(const WarpProblem& problem, const T* image, const T* flow, const T* grad_out,
                       T* grad_flow, void* stream);

/// Bytes of warp_image_gradient()'s workspace: a number for each plane, then sums in integers.
template <class T>
int64_t warp_workspace_bytes(const WarpProblem& p) {
  const int64_t planes = p.batch * p.channels, sums = sizeof(T) == 4 ? 1 : 2;
  return 8 * planes * (1 + sums * p.height * p.width);
}

/// The part that goes to the image. Contributions are rounded to a multiple of some 2^-n and added
/// as integers, in whatever order: the same bits every time. mrfcore/cuda_warp.hpp says how fine,
/// and what happens to planes with something that is not finite.
template <class T>
int warp_image_gradient(const WarpProblem& problem, const T* flow, const T* grad_out, T* grad_image,
                        void* workspace, void* stream);

}  // namespace mrfcore::cuda::kernels
