# SPDX-License-Identifier: Apache-2.0
"""The energy as the tables summed it: in float32, one term after the other.

Above 2^24 such a sum rounds at every step and ends up to 0.5 % off, and its error depends on the
order of the terms. The orders here are those that give the printed digits. All rows but TRW-S have
one accumulator over the pixels in raster order; at each pixel come its unary, then its edges
towards (dy, dx) = (0,1) (1,0) (1,1) (-1,1) (2,1) (1,2) (-1,2) (-2,1), as many as the connectivity
has. The TRW-S rows have one for the unaries, and one for the horizontal, then the vertical edges.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EDGE_ORDER = ((0, 1), (1, 0), (1, 1), (-1, 1), (2, 1), (1, 2), (-1, 2), (-2, 1))

Labels = npt.NDArray[np.int32]
Terms = npt.NDArray[np.float32]


def single_precision_energy(
    labels: Labels, unary: Terms, table: npt.NDArray[np.float64], weight: float, connectivity: int
) -> float:
    """Energy of a labelling summed in float32 as all rows but TRW-S were.

    Args:
        labels: ``[H, W]``.
        unary: ``[H, W, L]``.
        table: V as ``[L, L]``, symmetric.
        weight: the weight of every edge.
        connectivity: 4, 8 or 16.
    """
    height, width = labels.shape
    terms = np.zeros((height, width, 1 + connectivity // 2), dtype=np.float32)
    terms[:, :, 0] = _unary_terms(labels, unary)
    for k, (dy, dx) in enumerate(EDGE_ORDER[: connectivity // 2], start=1):
        top, bottom = max(0, -dy), height - max(0, dy)
        terms[top:bottom, : width - dx, k] = _edge_terms(labels, table, weight, dy, dx)
    return _sum_in_order(terms)  # the zeros, of edges that leave the image, change nothing


def benchmark_single_precision_energy(
    labels: Labels, unary: Terms, table: npt.NDArray[np.float64], weight: float
) -> float:
    """4-connected energy of a labelling summed in float32 as the TRW-S rows were.

    Args:
        labels: ``[H, W]``.
        unary: ``[H, W, L]``.
        table: V as ``[L, L]``, symmetric.
        weight: the weight of every edge.
    """
    across = _edge_terms(labels, table, weight, 0, 1).reshape(-1)
    down = _edge_terms(labels, table, weight, 1, 0).reshape(-1)
    data, smoothness = _unary_terms(labels, unary), np.concatenate([across, down])
    return float(np.float32(_sum_in_order(data)) + np.float32(_sum_in_order(smoothness)))


def _unary_terms(labels: Labels, unary: Terms) -> Terms:
    return np.take_along_axis(unary, labels[:, :, None], axis=2)[:, :, 0]


def _edge_terms(
    labels: Labels, table: npt.NDArray[np.float64], weight: float, dy: int, dx: int
) -> Terms:
    """The terms weight * V of the edges (y, x) - (y + dy, x + dx) inside the image; dx >= 0."""
    height, width = labels.shape
    top, bottom = max(0, -dy), height - max(0, dy)
    here = labels[top:bottom, : width - dx]
    there = labels[top + dy : bottom + dy, dx:]
    return np.asarray((weight * table).astype(np.float32)[here, there])


def _sum_in_order(terms: Terms) -> float:
    # cumsum, unlike sum, adds strictly one after the other.
    return float(np.cumsum(terms.reshape(-1), dtype=np.float32)[-1]) if terms.size else 0.0
