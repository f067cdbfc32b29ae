// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <new>
#include <string>

namespace mrfcore {

/// The problem does not fit: says how many bytes are needed and how many are free. Raised before
/// allocating.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

}  // namespace mrfcore
