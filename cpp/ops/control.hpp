// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <thread>

#include "cpu/control.hpp"

namespace mrfcore::cpu {

struct Control {
  std::atomic<bool> stop{false};
  std::function<bool()>
      poll;                  ///< asked from the calling thread only, every few tens of milliseconds
  std::exception_ptr error;  ///< what poll threw
  std::thread::id caller = std::this_thread::get_id();
  std::chrono::steady_clock::time_point last_poll = std::chrono::steady_clock::now();
};

/// Outside parallel regions: throws Interrupted, or what the caller's own check threw.
void throw_if_stopped(const Control& control);

}  // namespace mrfcore::cpu
