// SPDX-License-Identifier: Apache-2.0
// Found instead of CUDA's header by sources that are compiled for the emulator.
#pragma once

#include "emulator/collectives.hpp"
