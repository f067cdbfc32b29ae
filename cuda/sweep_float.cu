// SPDX-License-Identifier: Apache-2.0
#include "sweep.cuh"

namespace mrfcore::cuda {

template int sweep_pair<float>(const cpu::SweepArgs<float>&, const Batch&, Stream);

}  // namespace mrfcore::cuda
