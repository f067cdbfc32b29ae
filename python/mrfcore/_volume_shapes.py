# SPDX-License-Identifier: Apache-2.0
"""Solids and noise in three dimensions, for the drawn volumes.

A solid gives the distance to its surface, roughly and negative inside. As in `mrfcore._textures`,
array arithmetic is of the kinds that IEEE 754 fixes to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mrfcore._labelled_shapes import turn
from mrfcore._textures import Array, hash01

__all__ = ["Grid", "box", "cone", "ellipsoid", "field3", "grid", "torus", "tube", "turned"]

Point = tuple[float, float, float]


class Grid(NamedTuple):
    """Coordinates of voxels, each broadcast against the others."""

    x: Array
    y: Array
    z: Array


def grid(size: int) -> Grid:
    """Centres of the voxels of a cube [-1, 1]^3, with `size` of them along each axis."""
    line = (2.0 * np.arange(size) + 1.0) / size - 1.0
    return Grid(line[:, None, None], line[:, None], line)


def turned(at: Grid, share: float, tilt: float) -> Grid:
    """Coordinates in the frame of a thing turned about y, then tilted about x; shares of 1."""
    cosine, sine = turn(tilt)
    y, z = cosine * at.y + sine * at.z, cosine * at.z - sine * at.y
    cosine, sine = turn(share)
    return Grid(cosine * at.x + sine * z, y, cosine * z - sine * at.x)


def box(at: Grid, centre: Point, half: Point) -> Array:
    """A box of half sides `half`."""
    p = np.abs(at.x - centre[0]) - half[0]
    q = np.abs(at.y - centre[1]) - half[1]
    r = np.abs(at.z - centre[2]) - half[2]
    return np.asarray(np.maximum(np.maximum(p, q), r))


def tube(at: Grid, centre: Point, radius: float, half: float, axis: int = 1) -> Array:
    """A solid cylinder along an axis."""
    along = at[axis] - centre[axis]
    p, q = (at[k] - centre[k] for k in range(3) if k != axis)
    return np.asarray(np.maximum(np.sqrt(p * p + q * q) - radius, np.abs(along) - half))


def cone(at: Grid, centre: Point, low: float, high: float, half: float) -> Array:
    """A solid cone along y: radius `low` at its lower end, `high` at its upper one."""
    x, y, z = at.x - centre[0], at.y - centre[1], at.z - centre[2]
    radius = 0.5 * (low + high) + 0.5 * (high - low) * y / half
    return np.asarray(np.maximum(np.sqrt(x * x + z * z) - radius, np.abs(y) - half))


def ellipsoid(at: Grid, centre: Point, half: Point) -> Array:
    """An ellipsoid of half axes `half`; the distance is right to first order at its surface."""
    u, v, w = ((at[k] - centre[k]) / half[k] for k in range(3))
    level = np.sqrt(u * u + v * v + w * w)
    u, v, w = u / half[0], v / half[1], w / half[2]
    return np.asarray(level * (level - 1.0) / np.maximum(np.sqrt(u * u + v * v + w * w), 1e-9))


def torus(at: Grid, centre: Point, radius: float, half: float) -> Array:
    """A ring in the plane of x and y."""
    x, y, z = at.x - centre[0], at.y - centre[1], at.z - centre[2]
    ring = np.sqrt(x * x + y * y) - radius
    return np.asarray(np.sqrt(ring * ring + z * z) - half)


def field3(size: int, period: float, seed: int) -> Array:
    """Smooth noise in [0, 1), `[size, size, size]`: random numbers every `period` voxels."""
    place = np.arange(size) / period
    cell = np.floor(place)
    share = place - cell
    share = share * share * (3.0 - 2.0 * share)
    low: npt.NDArray[np.intp] = cell.astype(np.intp)
    side = int(low[-1]) + 2
    values = hash01(np.arange(side**3), seed).reshape(side, side, side)
    values = values[low] + (values[low + 1] - values[low]) * share[:, None, None]
    values = values[:, low] + (values[:, low + 1] - values[:, low]) * share[:, None]
    return np.asarray(values[..., low] + (values[..., low + 1] - values[..., low]) * share)
