// SPDX-License-Identifier: Apache-2.0
// Each bench_<subject>.cpp adds its benchmarks when called (their list depends on the machine).
#pragma once

namespace mrfcore::bench {

void register_ceilings();
void register_solvers();

}  // namespace mrfcore::bench
