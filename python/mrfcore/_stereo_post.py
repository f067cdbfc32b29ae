# SPDX-License-Identifier: Apache-2.0
"""From the costs of a solve to a disparity map: checks, sub-pixel values, smoothing, filling.

Everything here works on plain NumPy arrays whose shapes and types the caller has checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._result import Result

__all__ = [
    "Checks",
    "consistent",
    "disparity_map",
    "fill_background",
    "remove_speckles",
    "right_view_labels",
    "right_view_volume",
    "smooth",
    "subpixel_offsets",
    "unique",
]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

# Disparities of one surface, seen from a neighbouring pixel.
_SAME_SURFACE = 1.5
_COLOUR_SCALE = 10.0


@dataclass(frozen=True)
class Checks:
    """What match() does with a solution; see there."""

    max_difference: float
    uniqueness: float
    speckle_size: int
    subpixel: bool
    smoothing: int
    fill: bool
    threads: int


def disparity_map(
    result: Result,
    right: Labels | None,
    image: npt.NDArray[Any],
    min_disparity: int,
    checks: Checks,
) -> tuple[Floats, Bools]:
    """Disparities [H, W] in pixels and which of them passed all checks.

    Args:
        result: of the left view's solve.
        right: labels of the right view to check against, or None.
        image: the left one, [H, W, C].
        min_disparity: disparity of label 0.
        checks: what to do.
    """
    costs, labels = result.costs, result.labels
    disparity = (labels + np.float32(min_disparity)).astype(np.float32)
    if checks.subpixel:
        disparity += subpixel_offsets(costs, labels)
    valid = np.ones(labels.shape, np.bool_)
    if right is not None:
        valid &= consistent(labels, right, min_disparity, checks.max_difference)
    if checks.uniqueness > 0:
        valid &= unique(costs, labels, checks.uniqueness)
    disparity[~valid] = np.nan
    if checks.speckle_size > 0:
        remove_speckles(disparity, checks.speckle_size, _SAME_SURFACE)
        valid = ~np.isnan(disparity)
    if checks.smoothing > 0:
        smooth(disparity, image, checks.smoothing, _SAME_SURFACE, _COLOUR_SCALE, checks.threads)
    if checks.fill:
        disparity = fill_background(disparity)
    return disparity, valid


def right_view_labels(costs: Floats, min_disparity: int, threads: int) -> Labels:
    """Winners of the right view, [H, W]: arg-min over l of costs[y, x + min_disparity + l, l].

    The left view's costs, read along their diagonals, are the right view's: no second solve.
    -1 where no left pixel can match.
    """
    volume = np.ascontiguousarray(costs, np.float32)
    labels = np.empty(costs.shape[:2], np.int32)
    minima = np.empty(labels.shape, np.float32)
    _core.right_view_minimum(volume, min_disparity, threads, labels, minima)
    return labels


def right_view_volume(costs: Floats, min_disparity: int, border: float, threads: int) -> Floats:
    """The right view's costs, out[y, x, l] = costs[y, x + min_disparity + l, l], else `border`."""
    volume = np.ascontiguousarray(costs, np.float32)
    out = np.empty_like(volume)
    _core.right_view_volume(volume, min_disparity, border, threads, out)
    return out


def consistent(left: Labels, right: Labels, min_disparity: int, tolerance: float) -> Bools:
    """Left pixels whose match points back at them: |l - right[y, x - d]| <= tolerance."""
    width = left.shape[1]
    target = np.arange(width, dtype=np.int64) - min_disparity - left
    inside = (target >= 0) & (target < width)
    back = np.take_along_axis(right, np.clip(target, 0, width - 1), axis=1)
    agree: Bools = inside & (back >= 0) & (np.abs(back - left) <= tolerance)
    return agree


def unique(costs: Floats, labels: Labels, margin: float) -> Bools:
    """Pixels whose best label beats every label but its two neighbours by the margin.

    The rival must cost at least (1 + margin) times as much; costs are those of a message-passing
    solver: unary + messages, whose minima are 0.
    """
    best = np.take_along_axis(costs, labels[:, :, np.newaxis], axis=2)[:, :, 0]
    rival = np.full(best.shape, np.inf, np.float32)
    for label in range(costs.shape[2]):
        other = np.abs(labels - label) > 1
        np.minimum(rival, np.where(other, costs[:, :, label], np.inf), out=rival)
    clear: Bools = rival >= (1.0 + margin) * best
    return clear


def subpixel_offsets(costs: Floats, labels: Labels) -> Floats:
    """Minimum of the parabola through the costs of l - 1, l, l + 1, relative to l: -0.5 .. 0.5.

    0 at the first and the last label and where the costs do not bend upwards.
    """
    count = costs.shape[2]
    if count < 3:
        return np.zeros(labels.shape, np.float32)
    middle = np.clip(labels, 1, count - 2)[:, :, np.newaxis]
    below, here, above = (
        np.take_along_axis(costs, middle + step, axis=2)[:, :, 0] for step in (-1, 0, 1)
    )
    with np.errstate(invalid="ignore"):  # inf - inf at forbidden labels
        bend = below - 2 * here + above
        bends = (bend > 0) & np.isfinite(bend) & (middle[:, :, 0] == labels)
        slope = below - above
    offset = np.zeros(labels.shape, np.float32)
    np.divide(slope, 2 * bend, out=offset, where=bends)
    return np.clip(offset, -0.5, 0.5)


def smooth(
    disparity: Floats,
    guide: npt.NDArray[Any],
    radius: int,
    max_difference: float,
    colour_scale: float,
    threads: int,
) -> None:
    """In place: joint bilateral smoothing guided by the image [H, W, C]; NaN stays NaN."""
    colours = np.ascontiguousarray(guide, np.float32)
    _core.smooth_disparity(disparity, colours, radius, max_difference, colour_scale, threads)


def remove_speckles(disparity: Floats, max_size: int, max_difference: float) -> None:
    """In place: NaN for connected patches of at most max_size pixels."""
    _core.remove_speckles(disparity, max_size, max_difference)


def fill_background(disparity: Floats) -> Floats:
    """Every NaN becomes the lesser of its nearest neighbours left and right in the row.

    What one view hides belongs to the surface behind, the lesser disparity. Rows without any value
    repeat the nearest row that has one (the upper one on ties); a map without values stays NaN.
    """
    known = ~np.isnan(disparity)
    rows = np.flatnonzero(known.any(axis=1))
    if rows.size == 0:
        nothing: Floats = disparity.copy()
        return nothing
    left = np.fmax.accumulate(np.where(known, _columns(disparity), np.nan), axis=1)
    right = np.fmin.accumulate(np.where(known, _columns(disparity), np.nan)[:, ::-1], axis=1)
    from_left = _gather(disparity, left)
    from_right = _gather(disparity, right[:, ::-1])
    filled = np.where(known, disparity, np.fmin(from_left, from_right))
    # Index of the nearest of `rows`: how many midpoints of successive ones lie above (times 2).
    above = np.searchsorted(rows[1:] + rows[:-1], 2 * np.arange(disparity.shape[0]))
    complete: Floats = filled[rows[above]]
    return complete


def _columns(disparity: Floats) -> npt.NDArray[np.float64]:
    return np.broadcast_to(np.arange(disparity.shape[1], dtype=np.float64), disparity.shape)


def _gather(disparity: Floats, columns: npt.NDArray[np.float64]) -> Floats:
    """disparity[y, columns[y, x]], NaN where the column is NaN."""
    nowhere = np.isnan(columns)
    index = np.where(nowhere, 0, columns).astype(np.int64)
    values: Floats = np.take_along_axis(disparity, index, axis=1)
    values[nowhere] = np.nan
    return values
