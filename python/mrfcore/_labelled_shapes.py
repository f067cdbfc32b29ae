# SPDX-License-Identifier: Apache-2.0
"""Shapes and textures of the labelled scenes, in an object's own turned coordinates.

A shape gives the distance to its outline, roughly in pixels and negative inside; a texture a
brightness from -1 to 1. As in `mrfcore._textures`, array arithmetic is of the kinds that IEEE 754
fixes to the bit; sines are computed one by one and rounded, so that a scene is the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mrfcore._textures import Array, hash01

__all__ = ["SHAPES", "TEXTURES", "Draw", "field", "turn"]


class Draw:
    """A stream of reproducible numbers, made at once (`_textures.Random` makes them one by one)."""

    def __init__(self, seed: int, count: int = 64) -> None:
        self._numbers = iter(hash01(np.arange(count), seed).tolist())

    def uniform(self, low: float, high: float) -> float:
        """The next number, in [low, high)."""
        number: float = next(self._numbers)
        return low + (high - low) * number

    def integer(self, low: int, high: int) -> int:
        """The next whole number, low <= number < high."""
        return int(self.uniform(low, high))


def turn(share: float) -> tuple[float, float]:
    """Cosine and sine of a share of the full circle, rounded to what every machine agrees on."""
    return round(math.cos(2 * math.pi * share), 6), round(math.sin(2 * math.pi * share), 6)


def field(height: int, width: int, period: float, seed: int) -> Array:
    """Smooth noise in [0, 1), `[height, width]`: random numbers every `period` pixels."""

    def axis(length: int) -> tuple[npt.NDArray[np.intp], Array]:
        place = np.arange(length) / period
        cell = np.floor(place)
        share = place - cell
        return cell.astype(np.intp), share * share * (3.0 - 2.0 * share)

    (row, down), (column, right) = axis(height), axis(width)
    lattice = hash01(np.arange((row[-1] + 2) * (column[-1] + 2)), seed).reshape(row[-1] + 2, -1)
    rows = lattice[row] + (lattice[row + 1] - lattice[row]) * down[:, None]
    return np.asarray(rows[:, column] + (rows[:, column + 1] - rows[:, column]) * right)


# --- shapes: (x, y, radius, draw) -> distance ---------------------------------------------------


def _polygon(x: Array, y: Array, corners: Sequence[tuple[float, float]]) -> Array:
    """Exact distance to a closed line; a pixel is inside where an odd number of edges is below."""
    nearest, inside = np.full(x.shape, np.inf), np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        ex, ey = x1 - x0, y1 - y0
        px, py = x - x0, y - y0
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0.0, 1.0)
        dx, dy = px - along * ex, py - along * ey
        nearest = np.minimum(nearest, dx * dx + dy * dy)
        side = px * ey > py * ex
        inside ^= ((y >= y0) != (y >= y1)) & (side if ey > 0 else ~side)
    distance = np.sqrt(nearest)
    return np.asarray(np.where(inside, -distance, distance))


def _around(shares: Sequence[float], radii: Sequence[float]) -> list[tuple[float, float]]:
    """Corners at shares of the full circle."""
    turns = [turn(share) for share in shares]
    return [(c * radius, s * radius) for (c, s), radius in zip(turns, radii, strict=True)]


def _star(x: Array, y: Array, radius: float, draw: Draw) -> Array:
    points = draw.integer(5, 8)
    inner = draw.uniform(0.30, 0.45)
    shares, radii = [], []
    for k in range(points):
        shares += [k / points, (k + 0.5) / points]
        radii += [radius * draw.uniform(0.85, 1.0), radius * inner]
    return _polygon(x, y, _around(shares, radii))


def _comb(x: Array, y: Array, radius: float, draw: Draw) -> Array:
    half = max(1.2, radius * draw.uniform(0.05, 0.08))  # of a tooth
    pitch = half * draw.uniform(4.0, 5.0)
    long = draw.uniform(0.5, 0.65)
    place = x / pitch
    tooth = np.abs(place - np.floor(place) - 0.5) * pitch - half
    across = np.abs(x) - pitch * max(1, int(0.9 * radius / pitch))  # no tooth is cut
    teeth = np.maximum(np.maximum(tooth, np.abs(y - 0.1 * radius) - long * radius), across)
    spine = np.maximum(across, np.abs(y + 0.55 * radius) - max(1.5, 0.12 * radius))
    return np.asarray(np.minimum(teeth, spine))


def _oval(x: Array, y: Array, a: float, b: float) -> Array:
    """Distance to an ellipse of half axes a and b, right to first order at its outline."""
    u, v = x / a, y / b
    level = np.sqrt(u * u + v * v)
    u, v = u / a, v / b
    slope = np.sqrt(u * u + v * v)
    return np.asarray(level * (level - 1.0) / np.maximum(slope, 1e-9))


def _ellipse(x: Array, y: Array, radius: float, draw: Draw) -> Array:
    return _oval(x, y, 0.9 * radius, radius * draw.uniform(0.4, 0.75))


def _shard(x: Array, y: Array, radius: float, draw: Draw) -> Array:
    corners = 7
    shares = [(k + draw.uniform(-0.2, 0.2)) / corners for k in range(corners)]
    radii = [radius * draw.uniform(0.25, 0.55) for _ in range(corners)]
    for k in (0, draw.integer(2, 4), draw.integer(4, 6)):  # thin spikes
        radii[k] = radius * draw.uniform(0.9, 1.0)
    return _polygon(x, y, _around(shares, radii))


def _twig(x: Array, y: Array, radius: float, draw: Draw) -> Array:
    distance = _bar(x, y, (0.0, -radius), (0.0, radius), max(1.4, 0.07 * radius))
    branches = draw.integer(4, 7)
    for k in range(branches):
        start = radius * (-0.75 + 1.3 * k / (branches - 1))
        cosine, sine = turn(draw.uniform(0.07, 0.15))
        length = radius * draw.uniform(0.4, 0.7) * (1 if k % 2 else -1)
        end = (cosine * length, start + sine * abs(length))
        bar = _bar(x, y, (0.0, start), end, max(1.1, 0.05 * radius))
        distance = np.minimum(distance, bar)
    return distance


def _bar(
    x: Array, y: Array, start: tuple[float, float], end: tuple[float, float], half: float
) -> Array:
    """A line of a width, with round ends."""
    ex, ey = end[0] - start[0], end[1] - start[1]
    px, py = x - start[0], y - start[1]
    along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0.0, 1.0)
    dx, dy = px - along * ex, py - along * ey
    return np.asarray(np.sqrt(dx * dx + dy * dy) - half)


def _ring(x: Array, y: Array, radius: float, draw: Draw) -> Array:
    half = max(1.5, radius * draw.uniform(0.10, 0.18))
    middle = 0.78 * radius
    return np.asarray(np.abs(_oval(x, y, middle, middle * draw.uniform(0.75, 1.0))) - half)


Shape = Callable[[Array, Array, float, Draw], Array]
SHAPES: dict[str, Shape] = {
    "star": _star,
    "comb": _comb,
    "ellipse": _ellipse,
    "shard": _shard,
    "twig": _twig,
    "ring": _ring,
}


# --- textures: (x, y, period, seed) -> brightness -----------------------------------------------


def _wave(place: Array) -> Array:
    """A triangle wave in [-1, 1]."""
    return np.asarray(4.0 * np.abs(place - np.floor(place) - 0.5) - 1.0)


def _stripes(x: Array, _: Array, period: float, __: int) -> Array:
    return np.clip(2.0 * _wave(x / period), -1.0, 1.0)


def _checks(x: Array, y: Array, period: float, _: int) -> Array:
    return np.clip(4.0 * _wave(x / period) * _wave(y / period), -1.0, 1.0)


def _dots(x: Array, y: Array, period: float, _: int) -> Array:
    u, v = x / period, y / period
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    return np.clip((0.3 - np.sqrt(u * u + v * v)) * 8.0, -1.0, 1.0)


def _speckle(x: Array, y: Array, period: float, seed: int) -> Array:
    grain = 0.3 * period
    cell = np.floor(x / grain).astype(np.int64) * 7919 + np.floor(y / grain).astype(np.int64)
    return 2.0 * hash01(cell, seed) - 1.0


def _plain(x: Array, _: Array, __: float, ___: int) -> Array:
    return np.zeros_like(x)


Texture = Callable[[Array, Array, float, int], Array]
TEXTURES: dict[str, Texture] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "speckle": _speckle,
    "plain": _plain,
}
