# SPDX-License-Identifier: Apache-2.0
"""Short clips of moving textures, whose class is the motion and the texture, drawn from a seed.

A single frame tells the texture but not the motion: with 8 classes every texture occurs with two
motions, so that half of the classes' information is in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mrfcore._labelled_scene import _bounded, _stream
from mrfcore._labelled_shapes import TEXTURES, Draw, field, turn
from mrfcore._scalars import _integer
from mrfcore._textures import Array, Noise, hash01, mix, smoothstep

__all__ = ["MOST_CLIP_LABELS", "MovingTexture", "clip_class_names", "moving_texture"]

_NOISE = 5.0  # standard deviation of the sensor noise, grey levels
_MOTIONS = ("right", "down", "clockwise", "closer", "left", "up", "anticlockwise", "away")
_KINDS = ("checked", "dotted", "bricks", "cloudy")
MOST_CLIP_LABELS = len(_MOTIONS) * len(_KINDS)


class MovingTexture(NamedTuple):
    """What `moving_texture` gives."""

    clip: npt.NDArray[np.uint8]
    """RGB `[T, H, W, 3]`."""
    label: int
    """Class, 0 .. num_labels - 1."""


def _kind(label: int) -> tuple[str, str]:
    """Texture and motion of a class; labels 8 q + r and 8 q + r + 4 share the texture."""
    return _KINDS[(label + label // len(_MOTIONS)) % len(_KINDS)], _MOTIONS[label % len(_MOTIONS)]


def clip_class_names(num_labels: int) -> tuple[str, ...]:
    """Names of the classes: "checked, right", ..., by label."""
    return tuple(", ".join(_kind(label)) for label in range(num_labels))


# --- textures: (x, y) in periods -> brightness from -1 to 1 -----------------------------------


def _bricks(x: Array, y: Array) -> Array:
    row = np.floor(2.0 * y)
    u, v = x + 0.5 * (row - 2.0 * np.floor(0.5 * row)), 2.0 * y - row - 0.5
    u = u - np.floor(u) - 0.5
    edge = np.minimum(0.5 - np.abs(u), 0.5 * (0.5 - np.abs(v)))
    return np.asarray(2.0 * smoothstep(0.04, 0.12, edge) - 1.0)


def _pattern(kind: str, seed: int) -> Callable[[Array, Array], Array]:
    if kind == "bricks":
        return _bricks
    if kind == "cloudy":
        noise = Noise(seed)
        return lambda x, y: np.clip(4.0 * noise(2.5 * x, 2.5 * y) - 2.0, -1.0, 1.0)
    plain = TEXTURES["checks" if kind == "checked" else "dots"]
    return lambda x, y: plain(x, y, 1.0, seed)


# --- motions ----------------------------------------------------------------------------------


class _Path(NamedTuple):
    """Where the texture is at a time: turned, enlarged and moved, about the patch's centre."""

    cosine: float = 1.0
    sine: float = 0.0
    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0


def _path(motion: str, speed: float, time: float) -> _Path:
    """`speed`: periods a frame, or its like; `time`: frames from the middle of the clip."""
    way = speed * time
    if motion in ("right", "left"):
        return _Path(right=way if motion == "right" else -way)
    if motion in ("down", "up"):
        return _Path(down=way if motion == "down" else -way)
    if motion in ("clockwise", "anticlockwise"):
        cosine, sine = turn((way if motion == "clockwise" else -way) / 8.0)  # y points down
        return _Path(cosine, sine)
    halves = int(2.0 * abs(time))  # times are multiples of a half
    scale = math.prod([1.0 + 0.175 * speed] * halves)  # a product: powers differ by library
    return _Path(scale=scale if (time >= 0) == (motion == "closer") else 1.0 / scale)


def _frame(at: tuple[Array, Array], path: _Path, pattern: Callable[[Array, Array], Array]) -> Array:
    """Brightness at coordinates in periods."""
    x, y = at[0] - path.right, at[1] - path.down
    u = (path.cosine * x + path.sine * y) / path.scale
    v = (path.cosine * y - path.sine * x) / path.scale
    return pattern(u, v)


# --- the clip ---------------------------------------------------------------------------------


def _backdrop(height: int, width: int, draw: Draw, seed: int) -> Array:
    """What stands still: linear RGB `[H, W, 3]`."""
    colour = np.array([draw.uniform(0.08, 0.6) for _ in range(3)])
    rough = 0.6 * field(height, width, 14.0, seed + 1) + 0.4 * field(height, width, 4.0, seed + 2)
    return np.asarray(colour * (0.5 + rough)[..., None])


def moving_texture(
    seed: int, frames: int = 16, height: int = 112, width: int = 112, num_labels: int = 8
) -> MovingTexture:
    """Draw a clip of a texture that moves behind a soft window before a still background.

    Textures are checks, dots, bricks and clouds in any two colours, turned by any angle; they move
    right, left, down or up, turn either way, come closer or go away, by at most a fifth of the
    texture's period a frame. The same arguments give the same bytes everywhere.

    Args:
        seed: another one gives another clip; its class is seed mod num_labels.
        frames: T, 2 to 256.
        height: rows, 16 to 1024.
        width: columns, 16 to 1024.
        num_labels: classes, 2 to 32; the first 8 have all motions, each texture with two.

    Returns:
        (clip, label): uint8 `[T, H, W, 3]` and the class.

    Raises:
        ValueError: a number outside these bounds.
        TypeError: an argument that is not an integer.
    """
    seed, frames = _integer("seed", seed), _bounded("frames", frames, 2, 256)
    height, width = _bounded("height", height, 16, 1024), _bounded("width", width, 16, 1024)
    label = seed % _bounded("num_labels", num_labels, 2, MOST_CLIP_LABELS)
    kind, motion = _kind(label)
    own, side = _stream(seed, 11), float(min(height, width))
    draw = Draw(own)
    still = _backdrop(height, width, draw, own)
    low = np.array([draw.uniform(0.03, 0.5) for _ in range(3)])
    high = np.clip(low + [draw.uniform(0.15, 0.5) for _ in range(3)], 0.0, 1.0)
    period, speed = side * draw.uniform(0.16, 0.26), draw.uniform(0.10, 0.20)
    x = np.arange(width, dtype=np.float64) - width * draw.uniform(0.4, 0.6)
    y = np.arange(height, dtype=np.float64)[:, None] - height * draw.uniform(0.4, 0.6)
    a, b = side * draw.uniform(0.34, 0.5), side * draw.uniform(0.34, 0.5)
    window = np.clip(0.5 - (np.sqrt((x / a) ** 2 + (y / b) ** 2) - 1.0) * 8.0, 0.0, 1.0)
    cosine, sine = turn(draw.uniform(0.0, 1.0))
    drawn = _pattern(kind, own + 3)

    def pattern(u: Array, v: Array) -> Array:
        return drawn(cosine * u + sine * v + 0.37, cosine * v - sine * u + 0.21)

    clip = np.empty((frames, height, width, 3), np.uint8)
    channel = np.arange(clip[0].size).reshape(clip[0].shape)
    for number in range(frames):
        path = _path(motion, speed, number - 0.5 * (frames - 1))
        shade = 0.5 + 0.5 * _frame((x / period, y / period), path, pattern)
        rgb = still + (mix(low, high, shade) - still) * window[..., None]
        bell = hash01(channel, own + 40 + 2 * number) + hash01(channel, own + 41 + 2 * number) - 1.0
        grey = 255.0 * np.sqrt(np.clip(rgb, 0.0, 1.0)) + _NOISE * 2.449489742783178 * bell
        clip[number] = np.clip(np.floor(grey + 0.5), 0.0, 255.0)
    return MovingTexture(clip, label)
