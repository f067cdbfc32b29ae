// SPDX-License-Identifier: Apache-2.0
// Bilinear warps on a GPU. All arrays are in device memory. Calls enqueue work on the queue's
// stream and return: they neither allocate nor wait, and may be captured in a graph.
// WarpProblem::threads is not looked at.
//
// Throws std::invalid_argument, naming the argument, when sizes or pointers do not fit, OutOfMemory
// for too small a workspace, CudaError when a launch fails.
#pragma once

#include <cstdint>

#include "mrfcore/cuda.hpp"
#include "mrfcore/warp.hpp"

namespace mrfcore::cuda {

/// mrfcore::warp(), to the bit. Needs no workspace.
template <class T>
void warp(const WarpProblem& problem, const T* image, const T* flow, T* out, uint8_t* valid,
          const Queue& queue);

/// Working memory of warp_gradient() with a gradient for the image: 8 bytes for each of its
/// elements (16 in double), and 8 for each plane.
template <class T>
int64_t warp_gradient_workspace_bytes(const WarpProblem& problem);

/// mrfcore::warp_gradient(). The flow's gradient is that of the CPU to the bit. The image's is
/// summed in integers, so that it is the same bits every time: every contribution is rounded to a
/// multiple of at most 2^(log2 N - 60) of the largest |grad_out| of its plane, N being the pixels
/// of a plane of grad_out; in double, of at most 2^(2 log2 N - 120) or 2^(log2 N - 110) of it,
/// whichever is larger. A plane to which a gradient or a flow that is not finite contributes is
/// NaN as a whole.
template <class T>
void warp_gradient(const WarpProblem& problem, const T* image, const T* flow, const T* grad_out,
                   T* grad_image, T* grad_flow, const Queue& queue);

}  // namespace mrfcore::cuda
