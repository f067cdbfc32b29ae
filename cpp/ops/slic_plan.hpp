// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/slic.hpp"
#include "mrfcore/slic.hpp"

namespace mrfcore {

/// Throws std::invalid_argument where sizes or options are wrong.
void check_slic(const SlicOptions& options);
SlicPlan plan_slic(const SlicOptions& options);
/// options.min_size, or its default.
int64_t slic_min_size(const SlicOptions& options);

/// Throws std::invalid_argument where sizes or sigma are wrong.
void check_slic_features(int64_t batch, int64_t channels, int64_t height, int64_t width,
                         SlicColors colors, double sigma);
/// Largest radius that a blur has.
inline constexpr int64_t kSlicRadius = 256;
/// taps [2 radius + 1], which sum up to 2^14; returns the radius, 0 where there is nothing to blur.
int64_t slic_taps(double sigma, int32_t* taps);

}  // namespace mrfcore
