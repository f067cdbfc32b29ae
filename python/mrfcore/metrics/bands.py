# SPDX-License-Identifier: Apache-2.0
"""Where the boundaries of a label map are, bands around them, and void boundaries closed."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrfcore._arrays import like
from mrfcore._scalars import _choice, _flag, _integer
from mrfcore.metrics._labels import Labels, checked_ignore, counted, label_map
from mrfcore.metrics._marks import SHAPES, THICKNESSES, Marks, edges, widened

__all__ = ["boundary_band", "fill_void", "label_edges"]


def label_edges(
    labels: npt.ArrayLike, *, thickness: Literal[1, 2] = 2, ignore: int | None = 255
) -> Any:
    """Edges of a label map as `edge_metrics` sees them.

    Args:
        labels: integers [H, W] or [B, H, W], NumPy or torch.
        thickness: 2: pixels on both sides of a step between 4-neighbours; 1: the pixel on its left
            or above it only.
        ignore: void label; steps onto it or off it are no edges. None: there is none.

    Returns:
        bool, shape and library of `labels` (of a tensor on a GPU: on the CPU).

    Raises:
        ValueError, TypeError: not such arguments.
    """
    found = label_map("labels", labels)
    void = checked_ignore(ignore)
    marked = edges(found, counted(found, void), _choice("thickness", thickness, THICKNESSES))
    return like(labels)(marked)


def boundary_band(
    truth: npt.ArrayLike,
    width: int,
    *,
    ignore: int | None = 255,
    void_edges: bool = True,
    shape: Literal["disk", "square"] = "disk",
) -> Any:
    """The trimap of a label map: the `width` pixels on either side of its boundaries.

    Exactly: pixels at most `width` - 1 from a pixel that has a 4-neighbour of another label, but
    for void ones (Kohli, Ladicky & Torr 2009; Krähenbühl & Koltun 2011).

    Args:
        truth: integers [H, W] or [B, H, W], NumPy or torch.
        width: pixels on either side, >= 1.
        ignore: void label, never in the band. None: there is none.
        void_edges: whether the border of void is a boundary. True, as DeepLab does it: PASCAL VOC
            draws boundaries as bands of void, five pixels wide; without them it has hardly any.
            False where void is what nobody has labelled.
        shape: "disk": distances in a straight line; "square": in rows and in columns.

    Returns:
        bool, shape and library of `truth` (of a tensor on a GPU: on the CPU).

    Raises:
        ValueError, TypeError: not such arguments.
    """
    return like(truth)(
        band_of(label_map("truth", truth), width, checked_ignore(ignore), void_edges, shape)
    )


def band_of(truth: Labels, width: int, ignore: int | None, void_edges: bool, shape: str) -> Marks:
    """`boundary_band` of a checked map."""
    if _integer("width", width) < 1:
        raise ValueError(f"width: expected a number >= 1, got {width}")
    form = _choice("shape", shape, SHAPES)
    counts = counted(truth, ignore)
    marked = edges(truth, None if _flag("void_edges", void_edges) else counts, 2)
    return widened(marked, int(width) - 1, form) & counts


def fill_void(truth: npt.ArrayLike, reach: int, *, ignore: int = 255) -> Any:
    """Void pixels near labelled ones take the nearest label, so that regions touch.

    For PASCAL VOC, whose boundaries are bands of void some five pixels wide: with `reach` 5 they
    become lines in the middle of those bands, and `edge_metrics` has edges to find. Larger void
    stays, but for its rim.

    Args:
        truth: integers [H, W] or [B, H, W], NumPy or torch.
        reach: how far a label spreads, in steps between 4-neighbours, >= 0. Of labels that arrive
            together the lowest is taken.
        ignore: void label.

    Returns:
        A new map; shape, dtype and library of `truth` (of a tensor on a GPU: on the CPU).

    Raises:
        ValueError, TypeError: not such arguments.
    """
    labels = label_map("truth", truth)
    void_label = _integer("ignore", ignore)
    if _integer("reach", reach) < 0:
        raise ValueError(f"reach: expected a number >= 0, got {reach}")
    nowhere = np.iinfo(np.int64).max
    spread = np.where(labels == void_label, nowhere, labels.astype(np.int64))
    for _ in range(int(reach)):
        void = spread == nowhere
        if not void.any():
            break
        spread[void] = _lowest_neighbour(spread)[void]
    filled = np.where(spread == nowhere, np.int64(void_label), spread).astype(labels.dtype)
    return like(truth)(filled)


def _lowest_neighbour(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The least value of each pixel's 4-neighbours."""
    lowest = np.full_like(values, np.iinfo(np.int64).max)
    for axis in (-2, -1):
        source, target = np.moveaxis(values, axis, 0), np.moveaxis(lowest, axis, 0)
        np.minimum(target[1:], source[:-1], out=target[1:])
        np.minimum(target[:-1], source[1:], out=target[:-1])
    return lowest
