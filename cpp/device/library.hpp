// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cuda/functions.hpp"

namespace mrfcore::cuda {

/// The library of kernels, opened once; null, and `reason` says why, where it cannot be.
const Functions* find_library(std::string* reason);

/// The same; throws CudaError.
const Functions& library();

/// Throws CudaError, naming the operation, unless `code` is 0.
void check(const Functions& functions, int code, const char* operation);

/// Makes a device current for the length of a block.
class DeviceGuard {
 public:
  DeviceGuard(const Functions& functions, int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  const Functions& functions_;
  int device_, before_ = 0;
};

}  // namespace mrfcore::cuda
