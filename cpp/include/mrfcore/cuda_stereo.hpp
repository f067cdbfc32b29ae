// SPDX-License-Identifier: Apache-2.0
// Stereo on a GPU: matching costs, and semi-global matching that stays in bytes. Images, volumes
// and maps are in device memory, items one after the other; ImageView gives the address of the
// first item and the size of each. Calls enqueue work on the queue's stream and return: they
// neither allocate nor wait, and may be captured in a graph. Pixels must be finite (nobody looks).
//
// Throws std::invalid_argument, naming the argument, when sizes, types or options do not fit,
// OutOfMemory when the workspace does not hold one item, CudaError when a launch fails.
#pragma once

#include <cstdint>

#include "mrfcore/cost_volume.hpp"
#include "mrfcore/cuda.hpp"
#include "mrfcore/stereo_sgm.hpp"

namespace mrfcore::cuda {

/// Working memory of cost_volume() for `items` pairs at a time: census codes, else nothing.
int64_t cost_volume_workspace_bytes(const ImageView& left, const CostVolumeOptions& options,
                                    int64_t items);

/// mrfcore::cost_volume(), to the bit, of `items` pairs: out is [items, H, W, D]. `threads` is not
/// looked at.
void cost_volume(const ImageView& left, const ImageView& right, int64_t items,
                 const CostVolumeOptions& options, float* out, const Queue& queue);

/// mrfcore::right_view_minimum() of volumes [items, H, W, D]; minima may be null.
void right_view_minimum(const float* costs, int64_t items, int64_t height, int64_t width,
                        int64_t num_disparities, int64_t min_disparity, int32_t* labels,
                        float* minima, const Queue& queue);

/// mrfcore::right_view_volume() of volumes [items, H, W, D].
void right_view_volume(const float* costs, int64_t items, int64_t height, int64_t width,
                       int64_t num_disparities, int64_t min_disparity, float border, float* out,
                       const Queue& queue);

/// Outputs are in device memory; `interrupted` is not looked at.
using mrfcore::StereoSgmOptions;
using mrfcore::StereoSgmOutputs;

/// Working memory of stereo_sgm() for `items` pairs at a time. A cell (pixel and label) takes 1
/// byte of costs and, for each path, 1/2 byte of messages if p2 <= 127, 1 byte beyond: 5 bytes with
/// 8 paths, or 9; labels are padded to a multiple of 2 (up to 64 of them), 4 (128) or 8.
int64_t stereo_sgm_workspace_bytes(const ImageView& left, const StereoSgmOptions& options,
                                   int64_t items);

/// Labels are those of mrfcore::cost_volume() and minimize() with Solver::SGM, SGMPenalty(p1, p2),
/// unit weights, one iteration; as many pairs side by side as the workspace holds.
void stereo_sgm(const ImageView& left, const ImageView& right, int64_t items,
                const StereoSgmOptions& options, const StereoSgmOutputs& outputs,
                const Queue& queue);

}  // namespace mrfcore::cuda
