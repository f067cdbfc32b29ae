# SPDX-License-Identifier: Apache-2.0
"""A stereo scene rendered to the bit: known sub-pixel disparities and occlusions, no download.

Every surface is a plane with the disparity d(x, y) = a x + b y + c over the *left* image, an
outline and a texture, both functions of left-image coordinates. The left view shows at (x, y) the
surface with the largest disparity there. The right view is not warped from the left: the point of
a surface seen at (x', y) is the solution x = (x' + b y + c) / (1 - a) of x - d(x, y) = x', so
both views sample the same continuous texture, holes cannot arise, and occlusion is decided exactly.

Also here: `labelled_scene`, a single image whose every pixel has a known class; `part_volume` and
`tumour_volume`, volumes whose every voxel has one; `moving_texture`, a clip of a known class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

import numpy as np
import numpy.typing as npt

from mrfcore import _textures as tx
from mrfcore._labelled_scene import LabelledScene, labelled_scene
from mrfcore._labelled_volumes import PartVolume, part_volume
from mrfcore._moving_textures import MovingTexture, moving_texture
from mrfcore._textures import Array
from mrfcore._tumour_volumes import TumourVolume, tumour_volume
from mrfcore.datasets.pair import StereoPair

__all__ = [
    "LabelledScene",
    "MovingTexture",
    "PartVolume",
    "TumourVolume",
    "labelled_scene",
    "moving_texture",
    "part_volume",
    "render_stereo_scene",
    "tumour_volume",
]

_SAMPLES = (-0.25, 0.25)  # sub-pixel positions in x and in y: four samples a pixel
_NOISE = 1.6  # standard deviation of the sensor noise, grey levels


@dataclass(frozen=True)
class _Plane:
    """Disparity a x + b y + c over the left image, in pixels; needs a < 1."""

    a: float
    b: float
    c: float

    def disparity(self, x: Array, y: Array) -> Array:
        return np.asarray(self.a * x + self.b * y + self.c)

    def left_x(self, right_x: Array, y: Array) -> Array:
        """Where in the left image lies what the plane shows at (right_x, y) of the right one."""
        return np.asarray((right_x + self.b * y + self.c) / (1.0 - self.a))


@dataclass(frozen=True)
class _Surface:
    plane: _Plane
    texture: tx.Texture
    shape: tx.Shape | None = None  # None: unbounded


@dataclass(frozen=True)
class _View:
    """What every sample of one view shows: surface number, left-image x, disparity."""

    surface: npt.NDArray[np.intp]
    x: Array
    disparity: Array


def _look(surfaces: Sequence[_Surface], x: Array, y: Array, right: bool) -> _View:
    """Z-buffer: at each sample the surface with the largest disparity, the first one on ties."""
    best = _View(np.zeros(x.shape, np.intp), x.copy(), np.full(x.shape, -np.inf))
    for number, surface in enumerate(surfaces):
        left_x = surface.plane.left_x(x, y) if right else x
        disparity = left_x - x if right else surface.plane.disparity(x, y)
        nearer = disparity > best.disparity
        if surface.shape is not None:
            nearer &= surface.shape(left_x, y) <= 0.0
        best.surface[nearer] = number
        best.x[nearer] = left_x[nearer]
        best.disparity[nearer] = disparity[nearer]
    return best


def _shadow(
    surfaces: Sequence[_Surface], receiver: _Surface, x: Array, y: Array, disparity: Array
) -> Array:
    """Light that reaches points of a surface past the objects before it: 1 = all."""
    light = np.ones_like(x)
    for caster in surfaces:
        if caster.shape is None or caster is receiver:
            continue
        gap = caster.plane.disparity(x, y) - disparity  # the lamp is up left: shadows fall right
        reach = np.clip(gap, 0.0, 16.0)
        edge = caster.shape(x - 0.9 * reach, y - 0.45 * reach)
        softness = 2.0 + 0.5 * reach
        cover = np.clip(0.5 - 0.5 * edge / softness, 0.0, 1.0)
        light *= 1.0 - 0.5 * cover * np.clip(gap, 0.0, 1.0)
    return light


def _colour(surfaces: Sequence[_Surface], view: _View, y: Array) -> Array:
    """Linear RGB `[..., 3]` of what a view shows: texture, outline shading and shadows."""
    rgb = np.zeros((*y.shape, 3))
    for number, surface in enumerate(surfaces):
        shown = view.surface == number
        if not shown.any():
            continue
        x_here, y_here, d_here = view.x[shown], y[shown], view.disparity[shown]
        light = _shadow(surfaces, surface, x_here, y_here, d_here)
        if surface.shape is not None:  # a bevelled rim lifts objects off the background
            light *= 0.72 + 0.28 * tx.smoothstep(0.0, 5.0, -surface.shape(x_here, y_here))
        rgb[shown] = surface.texture(x_here, y_here, d_here) * light[:, None]
    return rgb


def _render(surfaces: Sequence[_Surface], x: Array, y: Array, right: bool) -> Array:
    """One view, averaged over the samples of each pixel."""
    rgb = np.zeros((*x.shape, 3))
    for dy in _SAMPLES:
        for dx in _SAMPLES:
            view = _look(surfaces, x + dx, y + dy, right)
            rgb += _colour(surfaces, view, y + dy)
    return rgb / len(_SAMPLES) ** 2


def _expose(rgb: Array, seed: int) -> npt.NDArray[np.uint8]:
    """Linear light to 8 bits: a gamma of 2, sensor noise, rounding."""
    grey = 255.0 * np.sqrt(np.clip(rgb, 0.0, 1.0))
    channel = np.arange(grey.size).reshape(grey.shape)
    # Four uniform numbers make a bell near enough; variance 4 / 12.
    bell = sum((tx.hash01(channel, seed + k) for k in range(4)), np.zeros(grey.shape)) - 2.0
    noisy = grey + _NOISE * 1.7320508 * bell
    return np.clip(np.floor(noisy + 0.5), 0.0, 255.0).astype(np.uint8)


def _visible_in_right(
    surfaces: Sequence[_Surface], view: _View, x: Array, y: Array
) -> npt.NDArray[np.bool_]:
    """Whether each left pixel centre is inside the right view and hidden by nothing there."""
    right_x = x - view.disparity
    front = _look(surfaces, right_x, y, right=True)
    # The surface itself is found again up to rounding; only what is clearly nearer hides it.
    hidden = front.disparity > view.disparity + 1e-6
    return np.asarray((right_x >= 0.0) & (right_x <= x.shape[1] - 1) & ~hidden)


# --- the scene --------------------------------------------------------------------------------


def _facing(disparity: float, x0: float, y0: float, a: float = 0.0, b: float = 0.0) -> _Plane:
    """The plane with slopes a and b that has `disparity` at (x0, y0)."""
    return _Plane(a, b, disparity - a * x0 - b * y0)


def _room(width: int, height: int, top: float, seed: int) -> list[_Surface]:
    """A brick wall turned a little, a painted side wall, and a floor of boards."""
    wall = _facing(0.20 * top, 0.5 * width, 0.0, a=-0.10 * top / width)
    side = _facing(0.235 * top, 0.80 * width, 0.0, a=0.62 * top / width)
    floor = _facing(0.21 * top, 0.0, 0.60 * height, b=1.50 * top / height)
    unit = height / 384.0
    return [
        _Surface(wall, tx.bricks(seed + 1, 20 * unit, (0.46, 0.21, 0.15), (0.62, 0.58, 0.52))),
        _Surface(side, tx.paint(seed + 2, (0.50, 0.56, 0.50))),
        _Surface(
            floor, tx.planks(seed + 3, 0.5 * width, 0.4, (0.58, 0.40, 0.23), (0.28, 0.16, 0.08))
        ),
    ]


def _objects(width: int, height: int, top: float, seed: int) -> list[_Surface]:
    """Things before the room, the nearer the lower; `seed` moves and turns them."""
    random = tx.Random(seed)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            width * (x + random.uniform(-0.03, 0.03)),
            height * (y + random.uniform(-0.03, 0.03)),
        )

    def slope(limit: float) -> float:
        """A slope that changes the disparity by at most `limit` of the range over 0.4 heights."""
        return random.uniform(-limit, limit) * top / (0.4 * height)

    def place(
        shape: tx.Shape, centre: tuple[float, float], depth: float, texture: tx.Texture
    ) -> _Surface:
        return _Surface(_facing(depth * top, *centre, slope(0.12), slope(0.12)), texture, shape)

    s = float(height)
    picture, disc, card, hoop = at(0.17, 0.27), at(0.46, 0.40), at(0.72, 0.50), at(0.33, 0.66)
    flower, block, pole = at(0.57, 0.72), at(0.84, 0.80), at(0.11, 0.70)
    turns = [(1.0, 0.0, 0.0), (0.309, 0.951, 0.73), (-0.809, 0.588, -0.32)]  # cos, sin, tilt
    turns += [(-0.809, -0.588, 0.32), (0.309, -0.951, -0.73)]
    petals = [
        tx.ellipse(flower[0] + u * 0.085 * s, flower[1] + v * 0.085 * s, 0.085 * s, 0.05 * s, t)
        for u, v, t in turns
    ]
    tilt = random.uniform(-0.12, 0.12)
    return [
        place(
            tx.box(*picture, 0.17 * s, 0.13 * s, 0.03),
            picture,
            0.30,
            tx.dots(seed + 11, 0.055 * s, (0.84, 0.80, 0.66), (0.10, 0.26, 0.42)),
        ),
        place(
            tx.ellipse(*disc, 0.13 * s, 0.15 * s),
            disc,
            0.44,
            tx.stone(seed + 12, (0.10, 0.20, 0.11), (0.62, 0.72, 0.36)),
        ),
        place(
            tx.box(*card, 0.11 * s, 0.19 * s, tilt),
            card,
            0.53,
            tx.plaid(
                seed + 13, 0.085 * s, (0.60, 0.09, 0.08), (0.09, 0.10, 0.20), (0.9, 0.85, 0.6)
            ),
        ),
        place(
            tx.ring(*hoop, 0.145 * s, 0.032 * s),
            hoop,
            0.68,
            tx.stone(seed + 14, (0.30, 0.13, 0.02), (0.98, 0.66, 0.14), 16.0),
        ),
        place(
            tx.union(tx.ellipse(*flower, 0.06 * s, 0.06 * s), *petals),
            flower,
            0.76,
            tx.stone(seed + 15, (0.36, 0.16, 0.42), (0.93, 0.80, 0.92), 30.0),
        ),
        place(
            tx.box(*block, 0.11 * s, 0.12 * s, -tilt),
            block,
            0.84,
            tx.paint(seed + 16, (0.10, 0.36, 0.46)),
        ),
        place(
            tx.box(*pole, 0.022 * s, 0.25 * s, 0.05),
            pole,
            0.90,
            tx.stone(seed + 17, (0.12, 0.12, 0.13), (0.70, 0.70, 0.68), 14.0),
        ),
    ]


def _scene(width: int, height: int, top: float, seed: int) -> list[_Surface]:
    return _room(width, height, top, seed) + _objects(width, height, top, seed)


def render_stereo_scene(
    height: int = 384, width: int = 512, max_disparity: int = 48, seed: int = 0
) -> StereoPair:
    """Render a stereo pair with exact ground truth: a room with objects before it.

    Slanted textured planes, thin and pierced objects, repeating and nearly uniform surfaces,
    shadows, anti-aliased outlines and independent sensor noise (1.6 grey levels) in both views.
    The same arguments give the same bytes on every machine.

    Args:
        height: rows, at least 32.
        width: columns, at least 32 and at least 2 * max_disparity.
        max_disparity: the search range: all disparities lie in [0, max_disparity - 1], at
            sub-pixel positions; from 4 to 1024.
        seed: another seed moves and turns the objects and changes the textures and the noise.

    Returns:
        StereoPair with uint8 RGB images `[H, W, 3]`, disparities known at every pixel (that of
        the surface at the pixel's centre), `nonocc` False where a nearer surface or the border
        hides the point from the right view, and num_disparities = max_disparity.

    Raises:
        ValueError: a size or range outside these bounds.
        TypeError: an argument that is not an integer.
    """
    height, width, max_disparity, seed = map(index, (height, width, max_disparity, seed))
    for name, value in (("height", height), ("width", width)):
        if not 32 <= value <= 16384:
            raise ValueError(f"{name} is {value}, expected 32 to 16384 pixels")
    if not 4 <= max_disparity <= min(1024, width // 2):
        raise ValueError(
            f"max_disparity is {max_disparity}, expected 4 to {min(1024, width // 2)} "
            f"for a width of {width}"
        )
    y, x = (axis.astype(np.float64) for axis in np.mgrid[:height, :width])
    surfaces = _scene(width, height, float(max_disparity - 1), 101 * seed)
    view = _look(surfaces, x, y, right=False)
    return StereoPair(
        left=_expose(_render(surfaces, x, y, right=False), 4 * seed + 1001),
        right=_expose(_render(surfaces, x, y, right=True), 4 * seed + 5003),
        disparity=view.disparity.astype(np.float32),
        valid=np.ones((height, width), bool),
        nonocc=_visible_in_right(surfaces, view, x, y),
        num_disparities=max_disparity,
        name="rendered scene",
    )
