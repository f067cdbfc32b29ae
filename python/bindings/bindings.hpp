// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

void bind_potential(nanobind::module_& m);
void bind_minimize(nanobind::module_& m);
void bind_layer(nanobind::module_& m);
void bind_mean_shift(nanobind::module_& m);
void bind_mean_shift_filter(nanobind::module_& m);
void bind_mode_seek(nanobind::module_& m);
void bind_pairwise_margin(nanobind::module_& m);
void bind_cuda(nanobind::module_& m);
void bind_cuda_filter_flow(nanobind::module_& m);
void bind_cuda_mean_shift(nanobind::module_& m);
void bind_cuda_slic(nanobind::module_& m);
void bind_cuda_stereo(nanobind::module_& m);
void bind_cuda_mean_shift_filter(nanobind::module_& m);
void bind_cuda_superpixel(nanobind::module_& m);
void bind_cost_volume(nanobind::module_& m);
void bind_stereo_sgm(nanobind::module_& m);
void bind_disparity(nanobind::module_& m);
void bind_filter_flow(nanobind::module_& m);
void bind_warp(nanobind::module_& m);
void bind_superpixel(nanobind::module_& m);
void bind_slic(nanobind::module_& m);
