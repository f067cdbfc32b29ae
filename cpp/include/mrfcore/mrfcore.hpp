// SPDX-License-Identifier: Apache-2.0
// Everything a C++ user needs.
#pragma once

#include "mrfcore/cost_volume.hpp"
#include "mrfcore/disparity.hpp"
#include "mrfcore/error.hpp"
#include "mrfcore/filter_flow.hpp"
#include "mrfcore/layer.hpp"
#include "mrfcore/mean_shift.hpp"
#include "mrfcore/mean_shift_filter.hpp"
#include "mrfcore/minimize.hpp"
#include "mrfcore/mode_seek.hpp"
#include "mrfcore/pairwise_margin.hpp"
#include "mrfcore/potential.hpp"
#include "mrfcore/problem.hpp"
#include "mrfcore/runtime.hpp"
#include "mrfcore/slic.hpp"
#include "mrfcore/soft_superpixel.hpp"
#include "mrfcore/stereo_sgm.hpp"
#include "mrfcore/superpixel.hpp"
#include "mrfcore/version.hpp"
#include "mrfcore/warp.hpp"
