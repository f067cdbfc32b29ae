// SPDX-License-Identifier: Apache-2.0
// What the CPU and the GPU (device/mean_shift_filter.cpp) share: checks, and numbers of kernels.
#pragma once

#include <cstdint>
#include <vector>

#include "mrfcore/mean_shift_filter.hpp"

namespace mrfcore {

/// Throw std::invalid_argument, naming what is wrong.
void check_filter_options(const MeanShiftFilterOptions& options, int64_t channels);
void check_filter_space(FilterSpace space, int64_t channels);
void check_filter_shape(const ImageView& image);
/// The same, and that pixels are finite.
void check_filter_image(const ImageView& image);

/// [height, width, 3] in L*u*v*.
std::vector<float> luv_pixels(const ImageView& image);

/// Of ByteFilterArgs.
int64_t filter_most_whole(double color_radius, int channels);
/// Of FloatFilterArgs, for a colour radius and a window's radius.
float filter_most(double color_radius);
float filter_scale(double color_radius);
std::vector<float> filter_distances(int radius);

}  // namespace mrfcore
