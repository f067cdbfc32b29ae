// SPDX-License-Identifier: Apache-2.0
// sweep_pair() for tables of V of up to kMostLabels labels.
#pragma once

#include "kernels.hpp"

namespace mrfcore::cuda {

/// How many scanlines a warp takes: the same bits either way. Several share what is read of V, but
/// need enough of them to keep every multiprocessor busy.
enum class TableSharing { kAlone, kSideBySide };

/// For as many scanlines on the current device.
TableSharing table_sharing(int64_t scanlines);

template <class T>
int table_sweep_pair(const cpu::SweepArgs<T>& args, const Batch& batch, TableSharing sharing,
                     Stream stream);

}  // namespace mrfcore::cuda
