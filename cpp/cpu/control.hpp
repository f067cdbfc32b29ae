// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mrfcore::cpu {

/// Lets a long kernel be abandoned; defined in ops/control.hpp, opaque here so that no kernel file
/// instantiates std::.
struct Control;

/// Has the caller asked to stop? Kernels ask before every strip; the caller's own check runs on the
/// calling thread only.
bool should_stop(Control* control);

}  // namespace mrfcore::cpu
