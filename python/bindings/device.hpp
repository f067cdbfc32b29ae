// SPDX-License-Identifier: Apache-2.0
// Device memory as Python hands it over: addresses, which nothing of nanobind may look at.
#pragma once

#include <cstdint>

#include "mrfcore/cuda.hpp"

using Address = uintptr_t;

struct DeviceQueue {
  int device = 0;
  Address stream = 0, workspace = 0;
  int64_t workspace_bytes = 0;

  mrfcore::cuda::Queue get() const {
    return {device, reinterpret_cast<void*>(stream), reinterpret_cast<void*>(workspace),
            workspace_bytes};
  }
};
