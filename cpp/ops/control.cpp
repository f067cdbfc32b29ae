// SPDX-License-Identifier: Apache-2.0
#include "ops/control.hpp"

#include "mrfcore/minimize.hpp"

namespace mrfcore::cpu {

bool should_stop(Control* control) {
  constexpr auto kPollInterval = std::chrono::milliseconds(50);
  if (control == nullptr) return false;  // short kernels are not worth abandoning
  if (control->stop.load(std::memory_order_relaxed)) return true;
  if (!control->poll || std::this_thread::get_id() != control->caller) return false;
  const auto now = std::chrono::steady_clock::now();
  if (now - control->last_poll < kPollInterval) return false;
  control->last_poll = now;
  try {
    if (control->poll()) control->stop.store(true, std::memory_order_relaxed);
  } catch (...) {  // must not leave a parallel region
    control->error = std::current_exception();
    control->stop.store(true, std::memory_order_relaxed);
  }
  return control->stop.load(std::memory_order_relaxed);
}

void throw_if_stopped(const Control& control) {
  if (control.error) std::rethrow_exception(control.error);
  if (control.stop.load()) throw Interrupted{};
}

}  // namespace mrfcore::cpu
