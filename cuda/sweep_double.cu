// SPDX-License-Identifier: Apache-2.0
#include "sweep.cuh"

namespace mrfcore::cuda {

template int sweep_pair<double>(const cpu::SweepArgs<double>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
