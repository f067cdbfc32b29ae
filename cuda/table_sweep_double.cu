// SPDX-License-Identifier: Apache-2.0
#include "table_sweep.cuh"

namespace mrfcore::cuda {

template int table_sweep_pair<double>(const cpu::SweepArgs<double>&, const Batch&, TableSharing,
                                      Stream);

}  // namespace mrfcore::cuda
