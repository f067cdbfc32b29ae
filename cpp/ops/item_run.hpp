// SPDX-License-Identifier: Apache-2.0
// The loop around a schedule: tracing, stopping, keeping the best.
#pragma once

#include "ops/schedule.hpp"

namespace mrfcore {

/// Are energies looked at between iterations? Then items of a batch may stop at different times and
/// have to run one by one.
inline bool watches(const Options& o) {
  return o.trace || o.tolerance || o.gap_tolerance || o.keep_best || o.callback;
}

/// Runs an item; labels and costs (or null) are where the item's results go. One report per item.
template <class T>
std::vector<ItemReport> run_schedule(Item<T>& item, int32_t* labels, T* costs);

}  // namespace mrfcore
