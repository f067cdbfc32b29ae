# SPDX-License-Identifier: Apache-2.0
"""Procedural shapes and textures of the rendered stereo scene.

Everything here is built from additions, multiplications, divisions, square roots and floors only:
IEEE 754 fixes their results to the bit, so that a scene is the same on every machine, which
library sines, powers and random generators do not promise.

Coordinates are arrays of the same shape, in pixels of the left image; a shape is a signed distance
(approximately, in pixels, negative inside), a texture gives linear RGB in [0, 1], `[..., 3]`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Shape = Callable[[Array, Array], Array]
Texture = Callable[[Array, Array, Array], Array]  # x, y, disparity
Colour = tuple[float, float, float]

_SIZE = 256  # lattice values repeat after so many cells


def _mixed(h: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Thomas Wang's 32-bit integer hash; unsigned products wrap around by definition."""
    h = (h ^ np.uint32(61)) ^ (h >> np.uint32(16))
    h = h * np.uint32(9)
    h = h ^ (h >> np.uint32(4))
    h = h * np.uint32(0x27D4EB2D)
    return np.asarray(h ^ (h >> np.uint32(15)))


def hash01(index: npt.ArrayLike, seed: int) -> Array:
    """Uniform numbers in [0, 1) from integers; seeds give unrelated sequences."""
    key = _mixed(np.array([seed % 2**32], np.uint32))
    with np.errstate(over="ignore"):
        mixed = _mixed(np.asarray(index).astype(np.uint32) ^ key)
    return np.asarray(mixed.astype(np.float64) / 2.0**32)


class Random:
    """A stream of reproducible numbers for laying out a scene."""

    def __init__(self, seed: int) -> None:
        self._seed, self._count = seed, 0

    def uniform(self, low: float, high: float) -> float:
        """The next number, in [low, high)."""
        self._count += 1
        return low + (high - low) * float(hash01([self._count], 7919 * self._seed + 17)[0])


def smoothstep(low: float, high: float, x: Array) -> Array:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def mix(first: npt.ArrayLike, second: npt.ArrayLike, share: Array) -> Array:
    """Colours `first` and `second` blended, `share` of the second."""
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return np.asarray(one + (two - one) * share[..., None])


# --- noise ------------------------------------------------------------------------------------


class Noise:
    """Value noise: random numbers on a lattice, interpolated with zero slope at the nodes."""

    def __init__(self, seed: int) -> None:
        self._values = hash01(np.arange(_SIZE * _SIZE), seed)

    def __call__(self, x: Array, y: Array) -> Array:
        """Noise in [0, 1) with a period of one unit between independent values."""
        column, row = np.floor(x), np.floor(y)
        u, v = x - column, y - row
        u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
        left, top = column.astype(np.int64) % _SIZE, row.astype(np.int64) % _SIZE
        right, bottom = (left + 1) % _SIZE, (top + 1) % _SIZE
        values = self._values
        upper = values[top * _SIZE + left] * (1.0 - u) + values[top * _SIZE + right] * u
        lower = values[bottom * _SIZE + left] * (1.0 - u) + values[bottom * _SIZE + right] * u
        return np.asarray(upper * (1.0 - v) + lower * v)

    def octaves(self, x: Array, y: Array, period: float, finest: float, gain: float) -> Array:
        """Sum of octaves from `period` pixels down to `finest`, each `gain` times the last."""
        total, amplitude, weight, shift = np.zeros_like(x), 1.0, 0.0, 0.0
        while period >= finest:
            total += amplitude * self(x / period + shift, y / period - shift)
            weight += amplitude
            amplitude, period, shift = amplitude * gain, period / 2.0, shift + 37.375
        return np.asarray(total / weight)


# --- textures ---------------------------------------------------------------------------------


def stone(seed: int, dark: Colour, light: Colour, period: float = 40.0) -> Texture:
    """Speckled multi-octave noise: easy to match everywhere."""
    noise = Noise(seed)

    def texture(x: Array, y: Array, _: Array) -> Array:
        rough = noise.octaves(x, y, period, 2.5, 0.8)
        return mix(dark, light, np.clip((rough - 0.5) * 2.4 + 0.5, 0.0, 1.0))

    return texture


def paint(seed: int, colour: Colour, contrast: float = 0.22) -> Texture:
    """An almost uniform surface, the hard case: only faint variation."""
    noise = Noise(seed)

    def texture(x: Array, y: Array, _: Array) -> Array:
        broad = noise.octaves(x, y, 96.0, 3.0, 0.7)
        return np.asarray(colour) * (1.0 + contrast * (4.0 * broad[..., None] - 2.0))

    return texture


def bricks(seed: int, size: float, brick: Colour, mortar: Colour) -> Texture:
    """Rows of bricks of width 2.4 * size and height size: a repeating pattern with variation."""
    noise = Noise(seed)

    def texture(x: Array, y: Array, _: Array) -> Array:
        v = y / size
        row = np.floor(v)
        u = x / (2.4 * size) + 0.5 * (row - 2.0 * np.floor(row / 2.0))
        column = np.floor(u)
        edge = np.minimum(2.4 * (0.5 - np.abs(u - column - 0.5)), 0.5 - np.abs(v - row - 0.5))
        tone = hash01(column.astype(np.int64) * 131 + row.astype(np.int64) * 7919, seed)
        rough = noise.octaves(x, y, 24.0, 3.0, 0.75)
        face = mix(np.asarray(brick) * 0.62, np.asarray(brick) * 1.18, 0.45 * tone + 0.55 * rough)
        joint = mix(np.asarray(mortar) * 0.8, mortar, rough)
        return joint + (face - joint) * smoothstep(0.05, 0.14, edge)[..., None]

    return texture


def planks(seed: int, centre: float, scale: float, light: Colour, dark: Colour) -> Texture:
    """Floor boards in perspective, running away from the camera.

    On a ground plane the distance is proportional to 1 / disparity and the lateral position to
    (x - centre) / disparity.
    """
    noise = Noise(seed)

    def texture(x: Array, _: Array, disparity: Array) -> Array:
        lateral, distance = scale * (x - centre) / disparity, 12.0 * scale / disparity
        board = np.floor(lateral)
        offset = hash01(board.astype(np.int64), seed) * 7.0
        length = np.floor(distance / 5.0 + offset)
        tone = hash01(board.astype(np.int64) * 57 + length.astype(np.int64) * 1009, seed)
        grain = noise.octaves(lateral * 18.0, distance * 1.6 + 9.0 * tone, 8.0, 1.0, 0.8)
        wood = mix(dark, light, np.clip(0.45 * tone + 1.5 * (grain - 0.5) + 0.3, 0.0, 1.0))
        gap = smoothstep(0.0, 0.06, 0.5 - np.abs(lateral - board - 0.5))
        return wood * (0.35 + 0.65 * gap[..., None])

    return texture


def plaid(seed: int, period: float, base: Colour, band: Colour, line: Colour) -> Texture:
    """Woven bands in two directions with a fine thread."""
    noise = Noise(seed)

    def wave(t: Array) -> Array:  # triangle wave in [0, 1]
        return np.asarray(2.0 * np.abs(t - np.floor(t) - 0.5))

    def texture(x: Array, y: Array, _: Array) -> Array:
        u, v = (x + 0.25 * y) / period, (y - 0.25 * x) / period
        bands = 0.5 * (smoothstep(0.45, 0.6, wave(u)) + smoothstep(0.45, 0.6, wave(v)))
        lines = np.maximum(smoothstep(0.86, 0.95, wave(u + 0.5)), smoothstep(0.86, 0.95, wave(v)))
        cloth = mix(mix(base, band, bands), line, 0.8 * lines)
        return cloth * (0.75 + 0.5 * noise.octaves(x, y, 12.0, 2.5, 0.9)[..., None])

    return texture


def dots(seed: int, period: float, base: Colour, dot: Colour) -> Texture:
    """Dots of varying size on a jittered grid, on slightly rough paper."""
    noise = Noise(seed)

    def texture(x: Array, y: Array, _: Array) -> Array:
        column, row = np.floor(x / period), np.floor(y / period)
        cell = column.astype(np.int64) * 92821 + row.astype(np.int64) * 689287
        dx = x / period - column - 0.35 - 0.3 * hash01(cell, seed)
        dy = y / period - row - 0.35 - 0.3 * hash01(cell, seed + 1)
        radius = 0.16 + 0.16 * hash01(cell, seed + 2)
        inside = smoothstep(-0.06, 0.06, radius - np.sqrt(dx * dx + dy * dy))
        paper = 0.86 + 0.28 * noise.octaves(x, y, 20.0, 2.5, 0.8)
        return mix(base, dot, inside) * paper[..., None]

    return texture


# --- shapes -----------------------------------------------------------------------------------


def box(x0: float, y0: float, half_width: float, half_height: float, tilt: float = 0.0) -> Shape:
    """A rectangle with slightly rounded corners; tan(angle / 2) of its rotation is `tilt`."""
    cosine, sine = (1 - tilt * tilt) / (1 + tilt * tilt), 2 * tilt / (1 + tilt * tilt)
    radius = 0.12 * min(half_width, half_height)

    def distance(x: Array, y: Array) -> Array:
        u, v = x - x0, y - y0
        p = np.abs(cosine * u + sine * v) - half_width + radius
        q = np.abs(cosine * v - sine * u) - half_height + radius
        outer_p, outer_q = np.maximum(p, 0.0), np.maximum(q, 0.0)
        outside = np.sqrt(outer_p * outer_p + outer_q * outer_q)
        return np.asarray(outside + np.minimum(np.maximum(p, q), 0.0) - radius)

    return distance


def ellipse(x0: float, y0: float, a: float, b: float, tilt: float = 0.0) -> Shape:
    """An ellipse with half axes a and b, rotated like `box`."""
    cosine, sine = (1 - tilt * tilt) / (1 + tilt * tilt), 2 * tilt / (1 + tilt * tilt)

    def distance(x: Array, y: Array) -> Array:
        u, v = x - x0, y - y0
        p, q = (cosine * u + sine * v) / a, (cosine * v - sine * u) / b
        return np.asarray((np.sqrt(p * p + q * q) - 1.0) * min(a, b))

    return distance


def ring(x0: float, y0: float, radius: float, half_width: float) -> Shape:
    """A circular band: what is behind shows through its hole."""

    def distance(x: Array, y: Array) -> Array:
        u, v = x - x0, y - y0
        return np.asarray(np.abs(np.sqrt(u * u + v * v) - radius) - half_width)

    return distance


def union(*shapes: Shape) -> Shape:
    """What is inside any of the shapes."""

    def distance(x: Array, y: Array) -> Array:
        nearest = shapes[0](x, y)
        for shape in shapes[1:]:
            nearest = np.minimum(nearest, shape(x, y))
        return nearest

    return distance
