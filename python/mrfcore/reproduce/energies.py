# SPDX-License-Identifier: Apache-2.0
"""The energy as the tables summed it: one float32 accumulator over all terms.

Above 2^24 such a sum rounds at every step and ends up to 0.5 % off, and its error depends on the
order of the terms. The order here is the one that gives the printed digits: pixels in raster order;
at each pixel its unary, then its edges towards (dy, dx) = (0,1) (1,0) (1,1) (-1,1) (2,1) (1,2)
(-1,2) (-2,1), as many as the connectivity has.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EDGE_ORDER = ((0, 1), (1, 0), (1, 1), (-1, 1), (2, 1), (1, 2), (-1, 2), (-2, 1))


def single_precision_energy(
    labels: npt.NDArray[np.int32],
    unary: npt.NDArray[np.float32],
    table: npt.NDArray[np.float64],
    weight: float,
    connectivity: int,
) -> float:
    """Energy of a labelling summed sequentially in float32, in the order of the published tables.

    Args:
        labels: ``[H, W]``.
        unary: ``[H, W, L]``.
        table: V as ``[L, L]``, symmetric.
        weight: the weight of every edge.
        connectivity: 4, 8 or 16.
    """
    height, width = labels.shape
    terms = np.zeros((height, width, 1 + connectivity // 2), dtype=np.float32)
    terms[:, :, 0] = np.take_along_axis(unary, labels[:, :, None], axis=2)[:, :, 0]
    weighted = (weight * table).astype(np.float32)
    for k, (dy, dx) in enumerate(EDGE_ORDER[: connectivity // 2], start=1):
        top, bottom = max(0, -dy), height - max(0, dy)
        here = labels[top:bottom, : width - dx]
        there = labels[top + dy : bottom + dy, dx:]
        terms[top:bottom, : width - dx, k] = weighted[here, there]
    # cumsum, unlike sum, adds strictly one after the other; its zeros (missing edges) change
    # nothing.
    return float(np.cumsum(terms.reshape(-1), dtype=np.float32)[-1])
