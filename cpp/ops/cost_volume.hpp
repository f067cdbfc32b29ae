// SPDX-License-Identifier: Apache-2.0
// Checks and arguments of cost volumes, for every back-end. Checks throw std::invalid_argument.
#pragma once

#include <string>
#include <vector>

#include "cpu/cost_volume.hpp"

namespace mrfcore {

/// Both images and all options.
void check_cost_volume(const ImageView& left, const ImageView& right,
                       const CostVolumeOptions& options);

/// What a kernel is told, with the border's default filled in. Images are those given, whatever
/// their channels; one thread.
cpu::CostVolumeArgs cost_volume_args(const ImageView& left, const ImageView& right,
                                     const CostVolumeOptions& options, float* out);

/// The luma of an RGB image when `convert`, else the image itself.
class Grey {
 public:
  Grey(const ImageView& image, bool convert);
  const void* data() const { return data_; }

 private:
  const void* data_;
  std::vector<uint8_t> bytes_;
  std::vector<float> floats_;
};

/// Of a left view's volume that is read along its diagonals.
void check_right_view(const float* costs, int64_t height, int64_t width, int64_t num_disparities,
                      int64_t min_disparity);

/// "name is value, expected least..most".
void check_extent(const char* name, int64_t value, int64_t least, int64_t most);

}  // namespace mrfcore
