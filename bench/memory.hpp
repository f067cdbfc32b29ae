// SPDX-License-Identifier: Apache-2.0
// Peak memory of this process, where the system says it (Linux).
#pragma once

#include <cstdint>

namespace mrfcore::bench {

/// Forget the peak of the past; bytes resident now, or -1 where the system cannot do that.
int64_t forget_peak();

/// The most bytes resident since, or -1.
int64_t peak_bytes();

}  // namespace mrfcore::bench
