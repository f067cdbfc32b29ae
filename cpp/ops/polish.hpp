// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/item.hpp"

namespace mrfcore {

/// Lowers the energy of `labels` [items, H, W] with what the messages (one volume per direction)
/// say. `labellings` conditioned labellings, 1 to 4, are read off them, each from another corner of
/// the image; rows and columns of each are minimised exactly given the rest; and in every region
/// where labellings differ the cheaper one is taken. `states`: a volume to work in.
template <class T>
void polish(Item<T>& item, const cpu::MinConvolutionPlan<T>& plan, const void* const* messages,
            T* states, int labellings, int32_t* labels);

}  // namespace mrfcore
