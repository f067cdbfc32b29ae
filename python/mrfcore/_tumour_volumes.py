# SPDX-License-Identifier: Apache-2.0
"""Heads with tumours in four sequences, as of BraTS, drawn from a seed.

Tumours are blobs of necrosis within an enhancing rim within oedema. No sequence alone tells them
apart: oedema is bright in FLAIR and T2, the rim in T1ce; old lesions are bright in FLAIR and
vessels in T1ce, too, and are no tumour.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mrfcore._labelled_scene import _bounded, _stream
from mrfcore._labelled_shapes import Draw
from mrfcore._scalars import _integer
from mrfcore._textures import Array, hash01, smoothstep
from mrfcore._volume_shapes import Grid, Point, ellipsoid, field3, grid, tube, turned

__all__ = ["TumourVolume", "tumour_volume"]

_NOISE = 60.0  # standard deviation of the sensor noise
# Brightness by tissue in FLAIR, T1, T1ce, T2.
_GREY = (500.0, 480.0, 520.0, 560.0)
_WHITE = (420.0, 640.0, 680.0, 440.0)
_FLUID = (180.0, 240.0, 260.0, 980.0)
_LESION = (820.0, 430.0, 460.0, 800.0)
_VESSEL = (450.0, 560.0, 1050.0, 420.0)
_OEDEMA = (860.0, 420.0, 460.0, 820.0)
_NECROSIS = (480.0, 300.0, 340.0, 860.0)
_RIM = (720.0, 480.0, 1000.0, 700.0)


class TumourVolume(NamedTuple):
    """What `tumour_volume` gives."""

    volume: npt.NDArray[np.int16]
    """`[4, S, S, S]`: FLAIR, T1, T1ce, T2; 0 outside the brain, > 0 in it."""
    labels: npt.NDArray[np.uint8]
    """`[S, S, S]`: 0 none, 1 necrosis, 2 oedema, 4 enhancing rim, as BraTS stores them."""


def _blend(tissue: list[Array], brightness: tuple[float, ...], share: Array) -> None:
    """Mix `share` of another tissue into the four sequences, in place."""
    for image, value in zip(tissue, brightness, strict=True):
        image += (value - image) * share


def _spot(at: Grid, draw: Draw, centre: Point, radius: float) -> Array:
    """Distance to an ellipsoid of random axes and direction."""
    a, b, c = (radius * draw.uniform(0.75, 1.25) for _ in range(3))
    moved = Grid(at.x - centre[0], at.y - centre[1], at.z - centre[2])
    return ellipsoid(
        turned(moved, draw.uniform(0.0, 1.0), draw.uniform(0.0, 1.0)), (0, 0, 0), (a, b, c)
    )


def _place(draw: Draw, most: float) -> Point:
    """A point of the ball of radius `most`, not evenly."""
    x, y, z = (draw.uniform(-1.0, 1.0) for _ in range(3))
    length = math.sqrt(x * x + y * y + z * z)
    reach = most / max(1.0, length)
    return (0.85 * x * reach, 0.95 * y * reach, 0.75 * z * reach)


def _brain(at: Grid, draw: Draw, size: int, seed: int) -> tuple[list[Array], npt.NDArray[np.bool_]]:
    """Healthy tissue in the four sequences, and where the brain is."""
    half = (draw.uniform(0.72, 0.82), draw.uniform(0.82, 0.92), draw.uniform(0.66, 0.76))
    outline = ellipsoid(at, (0, 0, 0), half) + 0.06 * (field3(size, size / 5, seed + 1) - 0.5)
    fold = field3(size, max(2.0, size / 12), seed + 2)
    tissue = [np.full(outline.shape, value) for value in _GREY]
    _blend(tissue, _WHITE, smoothstep(0.02, 0.10, -outline - 0.22 * fold))
    side = draw.uniform(0.09, 0.13)
    ventricles = np.minimum(
        ellipsoid(at, (side, 0.05, 0.05), (0.07, 0.3, 0.13)),
        ellipsoid(at, (-side, 0.05, 0.05), (0.07, 0.3, 0.13)),
    )
    _blend(tissue, _FLUID, smoothstep(-0.02, 0.02, -ventricles))
    for _ in range(draw.integer(2, 6)):
        lesion = _spot(at, draw, _place(draw, 0.55), draw.uniform(0.06, 0.12))
        _blend(tissue, _LESION, smoothstep(-0.02, 0.02, -lesion))
    for axis in range(draw.integer(1, 4)):
        vessel = tube(at, _place(draw, 0.5), draw.uniform(0.03, 0.05), 0.35, axis)
        _blend(tissue, _VESSEL, smoothstep(-0.02, 0.02, -vessel))
    return tissue, outline <= 0.0


def _tumour(
    at: Grid, draw: Draw, tissue: list[Array], labels: npt.NDArray[np.uint8], seed: int
) -> None:
    """Add a tumour to sequences and labels, in place."""
    size = labels.shape[0]
    radius = draw.uniform(0.24, 0.42)
    ball = _spot(at, draw, _place(draw, 0.45), radius)
    rough = field3(size, max(2.0, 0.22 * size), seed + 1) - 0.5
    fine = field3(size, max(2.0, 0.09 * size), seed + 2) - 0.5
    oedema = ball + 0.45 * radius * (rough + 0.5 * fine)
    core = ball + radius * draw.uniform(0.38, 0.5) + 0.25 * radius * (fine - rough)
    necrosis = core + radius * draw.uniform(0.16, 0.3) + 0.2 * radius * fine
    levels = ((oedema, _OEDEMA, 2), (core, _RIM, 4), (necrosis, _NECROSIS, 1))
    for distance, brightness, label in levels:
        _blend(tissue, brightness, smoothstep(-0.03, 0.03, -distance))
        labels[distance <= 0.0] = label


def tumour_volume(seed: int, size: int = 64) -> TumourVolume:
    """Draw a head in four sequences, with one or two tumours whose every voxel is known.

    Brightness varies within tissues, over the field of each sequence, and by noise; boundaries are
    blurred. The same arguments give the same bytes everywhere.

    Args:
        seed: another one gives another head.
        size: S, voxels along each side, 16 to 256.

    Returns:
        (volume, labels): int16 `[4, S, S, S]` and uint8 `[S, S, S]`.

    Raises:
        ValueError: a size outside these bounds.
        TypeError: an argument that is not an integer.
    """
    seed, size = _integer("seed", seed), _bounded("size", size, 16, 256)
    own = _stream(seed, 10)
    draw, at = Draw(own, 256), grid(size)
    tissue, inside = _brain(at, draw, size, own)
    labels = np.zeros((size, size, size), np.uint8)
    for number in range(draw.integer(1, 3)):
        _tumour(at, draw, tissue, labels, own + 16 * (number + 1))
    labels[~inside] = 0
    volume = np.empty((4, size, size, size), np.int16)
    index = np.arange(size**3).reshape(labels.shape)
    for number, image in enumerate(tissue):
        key = own + 100 * (number + 1)
        field = 0.8 + 0.4 * field3(size, 0.8 * size, key)
        gain = draw.uniform(0.8, 1.3)  # scanners have no common scale
        bell = hash01(index, key + 1) + hash01(index, key + 2) - 1.0  # variance 2 / 12
        seen = gain * (image * field + _NOISE * 2.449489742783178 * bell)
        volume[number] = np.where(inside, np.clip(np.floor(seen + 0.5), 1.0, 32767.0), 0.0)
    return TumourVolume(volume, labels)
