// SPDX-License-Identifier: Apache-2.0
#include "ops/control.hpp"

namespace mrfcore::cpu {

bool should_stop(Control* control) {
  constexpr auto kPollInterval = std::chrono::milliseconds(50);
  if (control == nullptr) return false;  // short kernels are not worth abandoning
  if (control->stop.load(std::memory_order_relaxed)) return true;
  if (!control->poll || std::this_thread::get_id() != control->caller) return false;
  const auto now = std::chrono::steady_clock::now();
  if (now - control->last_poll < kPollInterval) return false;
  control->last_poll = now;
  if (control->poll()) control->stop.store(true, std::memory_order_relaxed);
  return control->stop.load(std::memory_order_relaxed);
}

}  // namespace mrfcore::cpu
