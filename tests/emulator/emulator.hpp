// SPDX-License-Identifier: Apache-2.0
// Runs CUDA kernels on the CPU: the very .cu files, compiled as C++ with MRF_CUDA_EMULATOR defined
// (cuda/device.cuh includes this header then).
//
// Every CUDA thread is a fiber. Threads of a block run one at a time, from collective to collective
// (barrier, shuffle, vote, reduction), in an order that tests choose (settings.hpp); blocks run one
// after another, except in cooperative launches. What breaks CUDA's rules throws emulator::Error
// out of MRF_LAUNCH (error.hpp lists what is found). tests/emulator/README.md says what is not.
#pragma once

#include "emulator/collectives.hpp"
#include "emulator/error.hpp"
#include "emulator/intrinsics.hpp"
#include "emulator/launch.hpp"
#include "emulator/registers.hpp"
#include "emulator/runtime_api.hpp"
#include "emulator/settings.hpp"
#include "emulator/vector_types.hpp"
