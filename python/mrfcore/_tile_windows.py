# SPDX-License-Identifier: Apache-2.0
"""Windows of an image: tiles, bands around their seams, and the edges that leave a window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Area", "Crossing", "Window", "bands", "crossings", "reach", "tiles"]

# Canonical direction pairs (dy, dx), as in minimize's weights.
_PAIRS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1), (1, -2))

Area = tuple[slice, slice]


class Window(NamedTuple):
    """Rows top..bottom - 1 and columns left..right - 1."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def area(self) -> Area:
        """To index [H, W] arrays with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, by: int, height: int, width: int, *, ahead: bool = False) -> Window:
        """By so many pixels to all sides (`ahead`: down and right only), within the image."""
        back = 0 if ahead else by
        return Window(
            max(self.top - back, 0),
            min(self.bottom + by, height),
            max(self.left - back, 0),
            min(self.right + by, width),
        )

    def within(self, other: Window) -> Area:
        """To index an array of the window `other` with."""
        return (
            slice(self.top - other.top, self.bottom - other.top),
            slice(self.left - other.left, self.right - other.left),
        )


class Crossing(NamedTuple):
    """Edges of one direction from the pixels of an area in a window to those outside."""

    pair: int
    owner_inside: bool
    """Whether weights and the first label of V are those of the pixel inside."""
    inside: Window
    outside: Window


def reach(connectivity: int) -> int:
    """Rows or columns that an edge spans."""
    return 2 if connectivity == 16 else 1


def crossings(window: Window, height: int, width: int, connectivity: int) -> Iterator[Crossing]:
    """Every edge between the window and the rest of the image, once."""
    for pair, (dy, dx) in enumerate(_PAIRS[: connectivity // 2]):
        for sign in (1, -1):
            for inside in _leaving(window, height, width, sign * dy, sign * dx):
                outside = Window(
                    inside.top + sign * dy,
                    inside.bottom + sign * dy,
                    inside.left + sign * dx,
                    inside.right + sign * dx,
                )
                yield Crossing(pair, sign > 0, inside, outside)


def _leaving(window: Window, height: int, width: int, dy: int, dx: int) -> Iterator[Window]:
    """Pixels of the window whose neighbour at (dy, dx) is in the image, but not in the window."""
    top, bottom = max(window.top, -dy), min(window.bottom, height - dy)
    left, right = max(window.left, -dx), min(window.right, width - dx)
    if top >= bottom or left >= right:
        return
    stay_top, stay_bottom = max(top, window.top - dy), min(bottom, window.bottom - dy)
    stay_left, stay_right = max(left, window.left - dx), min(right, window.right - dx)
    for a, b in _without(top, bottom, stay_top, stay_bottom):
        yield Window(a, b, left, right)
    if stay_top < stay_bottom:
        for a, b in _without(left, right, stay_left, stay_right):
            yield Window(stay_top, stay_bottom, a, b)


def _without(begin: int, end: int, hole_begin: int, hole_end: int) -> Iterator[tuple[int, int]]:
    """The parts of [begin, end) that are not in [hole_begin, hole_end), which lies in it."""
    if hole_begin >= hole_end:
        yield begin, end
        return
    if begin < hole_begin:
        yield begin, hole_begin
    if hole_end < end:
        yield hole_end, end


def tiles(height: int, width: int, tile: tuple[int, int]) -> Iterator[Window]:
    """In raster order."""
    for top in range(0, height, tile[0]):
        for left in range(0, width, tile[1]):
            yield Window(top, min(top + tile[0], height), left, min(left + tile[1], width))


def bands(height: int, width: int, tile: tuple[int, int], half: int) -> Iterator[Window]:
    """Bands of 2 * half pixels around the seams, in pieces of a tile's length.

    Those of vertical seams are shifted by half a tile, so that the corners of four tiles lie inside
    of one.
    """
    rows, columns = tile
    if half == 0:
        return
    for seam in range(rows, height, rows):
        for left in range(0, width, columns):
            band = Window(seam, seam, left, min(left + columns, width))
            yield band._replace(top=max(seam - half, 0), bottom=min(seam + half, height))
    for seam in range(columns, width, columns):
        for top in range(-(rows // 2) if rows < height else 0, height, rows):
            yield Window(
                max(top, 0), min(top + rows, height), max(seam - half, 0), min(seam + half, width)
            )
