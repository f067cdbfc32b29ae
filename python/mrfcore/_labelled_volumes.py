# SPDX-License-Identifier: Apache-2.0
"""Voxelised things with known parts, as of ShapeNet's part annotation, drawn from a seed.

A thing belongs to a category, and each category has parts of its own: labels are numbered through
all categories. Voxels of the surface are 1, all others 0 and without a label.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mrfcore._labelled_scene import _bounded, _stream
from mrfcore._labelled_shapes import Draw
from mrfcore._scalars import _integer
from mrfcore._textures import Array, hash01
from mrfcore._volume_shapes import Grid, box, cone, ellipsoid, grid, torus, tube, turned

__all__ = ["PART_CATEGORIES", "PartVolume", "part_volume"]

_VOID = 255
_SHELL = 1.25  # thickness of the surface, voxels
_HOLES = 0.05  # share of the surface's voxels that are missing, as of a scan


class PartVolume(NamedTuple):
    """What `part_volume` gives."""

    volume: npt.NDArray[np.float32]
    """`[1, S, S, S]`: 1 where there is something, axes x, y (upward), z."""
    labels: npt.NDArray[np.uint8]
    """`[S, S, S]`: parts 0 .. 17; 255 where there is nothing."""
    category: int
    """Number of the category, in the order of `PART_CATEGORIES`."""


# --- categories: (coordinates, draw) -> distances to the parts, in the order of their names ---


def _legs(at: Grid, top: float, x: float, z: float, half: float) -> Array:
    middle, height = 0.5 * (top - 0.8), 0.5 * (top + 0.8)
    sides = [(sx * x, sz * z) for sx in (-1, 1) for sz in (-1, 1)]
    legs = [box(at, (px, middle, pz), (half, height, half)) for px, pz in sides]
    return np.asarray(np.minimum.reduce(legs))


def _table(at: Grid, draw: Draw) -> list[Array]:
    x, z, y = draw.uniform(0.55, 0.75), draw.uniform(0.4, 0.6), draw.uniform(-0.1, 0.4)
    half = draw.uniform(0.06, 0.1)
    return [box(at, (0, y, 0), (x, 0.08, z)), _legs(at, y - 0.08, x - half, z - half, half)]


def _chair(at: Grid, draw: Draw) -> list[Array]:
    x, y, half = draw.uniform(0.38, 0.5), draw.uniform(-0.25, 0.0), draw.uniform(0.06, 0.09)
    back = draw.uniform(0.3, 0.42)
    return [
        box(at, (0, y, 0), (x, 0.08, x)),
        box(at, (0, y + back + 0.08, half - x), (x, back, half)),
        _legs(at, y - 0.08, x - half, x - half, half),
    ]


def _lamp(at: Grid, draw: Draw) -> list[Array]:
    top, wide = draw.uniform(0.3, 0.45), draw.uniform(0.4, 0.6)
    return [
        tube(at, (0, -0.75, 0), draw.uniform(0.3, 0.45), 0.08),
        tube(at, (0, 0.5 * (top - 0.75), 0), 0.07, 0.5 * (top + 0.75)),
        cone(at, (0, top + 0.1, 0), wide, wide * draw.uniform(0.3, 0.7), 0.25),
    ]


def _mug(at: Grid, draw: Draw) -> list[Array]:
    radius, half = draw.uniform(0.38, 0.5), draw.uniform(0.4, 0.6)
    body = tube(at, (0, 0, 0), radius, half)
    hollow = tube(at, (0, 0.16, 0), radius - 0.12, half)
    handle = torus(at, (radius, 0, 0), half * draw.uniform(0.5, 0.65), 0.08)
    return [np.maximum(body, -hollow), np.maximum(handle, 0.02 - body)]  # none of it inside


def _rocket(at: Grid, draw: Draw) -> list[Array]:
    radius, half, fin = draw.uniform(0.17, 0.26), draw.uniform(0.4, 0.5), draw.uniform(0.2, 0.3)
    reach, low = radius + fin, -0.1 - half + fin
    fins = np.minimum(
        box(at, (0, low, 0), (reach, fin, 0.06)), box(at, (0, low, 0), (0.06, fin, reach))
    )
    body = tube(at, (0, -0.1, 0), radius, half)
    return [body, cone(at, (0, half + 0.08, 0), radius, 0.02, 0.18), np.maximum(fins, -body)]


def _hammer(at: Grid, draw: Draw) -> list[Array]:
    half, high = draw.uniform(0.12, 0.2), draw.uniform(0.4, 0.6)
    head = box(at, (draw.uniform(-0.1, 0.1), high, 0), (draw.uniform(0.35, 0.5), half, half))
    return [tube(at, (0, 0.5 * (high - 0.85), 0), 0.08, 0.5 * (high + 0.85)), head]


def _plane(at: Grid, draw: Draw) -> list[Array]:
    radius, span, chord = draw.uniform(0.12, 0.18), draw.uniform(0.6, 0.75), draw.uniform(0.12, 0.2)
    body = ellipsoid(at, (0, 0, 0), (radius, radius, 0.8))
    wings = box(at, (0, 0, draw.uniform(0.0, 0.15)), (span, 0.06, chord))
    tail = np.minimum(
        box(at, (0, 0.15, -0.66), (0.06, 0.2, 0.1)), box(at, (0, 0.05, -0.66), (0.28, 0.06, 0.1))
    )
    return [body, np.maximum(wings, -body), np.maximum(tail, -body)]


PART_CATEGORIES: dict[str, tuple[str, ...]] = {
    "table": ("top", "legs"),
    "chair": ("seat", "back", "legs"),
    "lamp": ("base", "pole", "shade"),
    "mug": ("body", "handle"),
    "rocket": ("body", "nose", "fins"),
    "hammer": ("handle", "head"),
    "plane": ("body", "wings", "tail"),
}
_MAKERS: tuple[Callable[[Grid, Draw], list[Array]], ...] = (
    _table,
    _chair,
    _lamp,
    _mug,
    _rocket,
    _hammer,
    _plane,
)


def part_volume(seed: int, size: int = 32) -> PartVolume:
    """Draw the surface of a thing whose every voxel belongs to a known part.

    Tables, chairs, lamps, mugs, rockets, hammers and planes of varying proportions, turned by any
    angle about the upright axis and tilted a little, with holes of single voxels. The same
    arguments give the same bytes everywhere.

    Args:
        seed: another one gives another thing; seeds 7 k + c are of category c.
        size: S, voxels along each side, 24 to 256.

    Returns:
        (volume, labels, category): float32 `[1, S, S, S]`, uint8 `[S, S, S]`, a number.

    Raises:
        ValueError: a size outside these bounds.
        TypeError: an argument that is not an integer.
    """
    seed, size = _integer("seed", seed), _bounded("size", size, 24, 256)
    category = seed % len(_MAKERS)
    own = _stream(seed, 8)
    draw = Draw(own)
    scale = draw.uniform(0.72, 0.85)  # nothing is cut off
    at = turned(grid(size), draw.uniform(0.0, 1.0), draw.uniform(-0.04, 0.04))
    distances = _MAKERS[category](Grid(at.x / scale, at.y / scale, at.z / scale), draw)
    nearest = np.minimum.reduce(distances) * (scale * 0.5 * size)  # in voxels
    shown = (nearest <= 0.0) & (nearest > -_SHELL)
    shown &= hash01(np.arange(size**3), _stream(seed, 9)).reshape(shown.shape) >= _HOLES

    first = sum(len(parts) for parts in list(PART_CATEGORIES.values())[:category])
    labels = np.full(shown.shape, _VOID, np.uint8)
    labels[shown] = first + np.argmin(distances, axis=0)[shown]
    return PartVolume(shown[None].astype(np.float32), labels, category)
