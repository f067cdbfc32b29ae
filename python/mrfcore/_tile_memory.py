# SPDX-License-Identifier: Apache-2.0
"""Bytes that a tile takes, and the tile that fits into so many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mrfcore import _core
from mrfcore._minimize import solve_bytes
from mrfcore._tile_windows import Window, crossings

__all__ = ["Needs", "choose_tile"]


@dataclass(frozen=True)
class Needs:
    """What is to be solved, but for the size of a window."""

    sizes: tuple[int, int, int]
    """H, W, L of the image."""
    dtype: np.dtype[Any]
    potential: _core.Potential
    per_edge: bool
    connectivity: int
    options: _core.Options

    def bytes(self, height: int, width: int) -> int:
        """Most at a time for windows of this size, with the labels of the whole image."""
        rows, columns, labels = self.sizes
        shape = (1, height, width, labels)
        solve = solve_bytes(
            shape, self.dtype, self.potential, self.per_edge, self.connectivity, self.options
        )
        # Weights as they are around a window, and as minimize takes them.
        edges = self.connectivity * (height + 4) * (width + 4) if self.per_edge else 0
        own = (height * width * labels + edges) * self.dtype.itemsize
        around = sum(
            edge.inside.height * edge.inside.width
            for edge in crossings(
                Window(2, height + 2, 2, width + 2), height + 4, width + 4, self.connectivity
            )
        )
        # What the labels around cost, twice while it is made, what it is added to; V.
        ties = labels * (16 * around + self.dtype.itemsize * around + 8 * labels)
        return solve + own + ties + 4 * rows * columns


def choose_tile(
    height: int, width: int, overlap: int, memory: int, needed: Callable[[int, int], int]
) -> tuple[int, int]:
    """The tile that takes the least work, counted in pixels solved.

    Args:
        height: of the image.
        width: of the image.
        overlap: what a tile looks ahead, and the least side of a tile with neighbours.
        memory: most bytes.
        needed: bytes for a window of so many rows and columns; grows with both.

    Raises:
        MemoryError: says how many bytes are needed.
    """
    found = list(_fitting(height, width, overlap, memory, needed))
    if found:
        return min(found)[1]
    least = max(overlap, 1) + overlap
    size = min(least, height), min(least, width)
    raise MemoryError(
        f"memory: the smallest tiles with overlap {overlap} need {needed(*size):,} bytes, got "
        f"{memory:,}"
    )


def _fitting(
    height: int, width: int, overlap: int, memory: int, needed: Callable[[int, int], int]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """(Work, tile) of the highest tiles of each width that divides the image evenly."""
    least = max(overlap, 1)
    for across in range(1, max(width // least, 1) + 1):
        columns = -(-width // across)
        rows = _most_rows(height, overlap, min(columns + overlap, width), memory, needed)
        if columns < min(least, width) or rows < min(least, height):
            continue
        down = -(-height // rows)
        rows = max(-(-height // down), min(least, height))
        work = (height + (down - 1) * overlap) * (width + (across - 1) * overlap)
        yield work, (rows, columns)


def _most_rows(
    height: int, overlap: int, span: int, memory: int, needed: Callable[[int, int], int]
) -> int:
    """Rows of the highest tile whose window of `span` columns fits; 0 for none."""
    return bisect_right(
        range(1, height + 1), memory, key=lambda rows: needed(min(rows + overlap, height), span)
    )
