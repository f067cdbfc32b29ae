# SPDX-License-Identifier: Apache-2.0
"""Edges of label maps, and marks widened by some pixels; on the last two axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SHAPES", "THICKNESSES", "Marks", "edges", "widened"]

Marks = npt.NDArray[np.bool_]

SHAPES = ("disk", "square")
THICKNESSES = (1, 2)


def edges(labels: npt.NDArray[Any], counts: Marks | None, thickness: int) -> Marks:
    """Pixels whose label differs from that of a 4-neighbour; steps onto what does not count do not.

    Thickness 1 marks the pixel on the left of a step, or above it; 2 marks both sides.
    """
    across = labels[..., :, :-1] != labels[..., :, 1:]
    down = labels[..., :-1, :] != labels[..., 1:, :]
    if counts is not None:
        across &= counts[..., :, :-1] & counts[..., :, 1:]
        down &= counts[..., :-1, :] & counts[..., 1:, :]
    marks = np.zeros(labels.shape, np.bool_)
    marks[..., :, :-1] |= across
    marks[..., :-1, :] |= down
    if thickness == 2:
        marks[..., :, 1:] |= across
        marks[..., 1:, :] |= down
    return marks


def widened(marks: Marks, radius: int, shape: str) -> Marks:
    """Marks, and every pixel at most `radius` from one: in a straight line, or in rows and columns.

    Rows of a disk are intervals, so a disk is a union of marks widened along rows, a row each:
    O(radius) passes over the bits, whatever the number of marks.
    """
    if shape == "square":
        return _along(_along(marks, radius, -1), radius, -2)
    out = np.zeros_like(marks)
    rows, reach = marks, 0
    for offset in range(min(radius, marks.shape[-2]), -1, -1):  # from the narrowest row
        width = math.isqrt(radius * radius - offset * offset)
        rows, reach = _along(rows, width - reach, -1), width
        _add_shifted(out, rows, offset, -2)
    return out


def _along(marks: Marks, reach: int, axis: int) -> Marks:
    """Marks, and what is at most `reach` pixels from one along an axis.

    Steps double: intervals of `done` either side, moved by up to done + 1, leave no gap, not even
    where a move leaves the image.
    """
    done, reach = 0, min(reach, marks.shape[axis])
    while done < reach:
        step = min(done + 1, reach - done)
        grown = marks.copy()
        _add_shifted(grown, marks, step, axis)
        marks, done = grown, done + step
    return marks


def _add_shifted(out: Marks, marks: Marks, step: int, axis: int) -> None:
    """Put marks moved by `step` pixels, forward and back, into `out`."""
    target, source = np.moveaxis(out, axis, 0), np.moveaxis(marks, axis, 0)
    if step == 0:
        target |= source
    elif step < len(source):
        target[step:] |= source[:-step]
        target[:-step] |= source[step:]
