// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "cpu/control.hpp"

namespace mrfcore::cpu {

struct Control {
  std::atomic<bool> stop{false};
  std::function<bool()>
      poll;  ///< asked from the calling thread only, every few tens of milliseconds
  std::thread::id caller = std::this_thread::get_id();
  std::chrono::steady_clock::time_point last_poll = std::chrono::steady_clock::now();
};

}  // namespace mrfcore::cpu
