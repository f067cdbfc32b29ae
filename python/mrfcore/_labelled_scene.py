# SPDX-License-Identifier: Apache-2.0
"""Synthetic scenes whose every pixel has a known class, for training without a download.

Class k > 0 is a shape with a texture (`class_names`); label 0 is the background. Colours of one
class vary as much as those of different classes, the background has edges of its own, objects
have shades, cast shadows and hide each other; outlines are thin in places and blurred by less than
two pixels. So colour alone does not tell classes apart, coarse features lose the outlines, and
colour edges are mostly where labels change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mrfcore._labelled_shapes import SHAPES, TEXTURES, Draw, field, turn
from mrfcore._scalars import _integer
from mrfcore._textures import Array, _mixed, hash01, mix, smoothstep

__all__ = ["MOST_LABELS", "LabelledScene", "class_names", "labelled_scene"]

MOST_LABELS = 21  # shapes and textures repeat in pairs after 30 classes
_VOID = 255
_MARGIN = 7  # pixels around an object that its shadow and its blurred outline may reach
_TEXTURE = 0.25  # how much brighter and darker a texture makes a surface
_NOISE = 4.0  # standard deviation of the sensor noise, grey levels
_CANDIDATES = 6  # colours drawn for an object; the one most unlike its surroundings is taken


class LabelledScene(NamedTuple):
    """What `labelled_scene` gives."""

    image: npt.NDArray[np.uint8]
    """RGB `[H, W, 3]`."""
    labels: npt.NDArray[np.uint8]
    """`[H, W]`: 0 background, 1 .. num_labels - 1 classes, 255 void."""


def _kind(label: int) -> tuple[str, str]:
    """Shape and texture of a class >= 1: both differ between neighbouring classes."""
    shapes, textures = list(SHAPES), list(TEXTURES)
    return shapes[(label - 1) % len(shapes)], textures[(label - 1) % len(textures)]


def class_names(num_labels: int) -> tuple[str, ...]:
    """Names of the labels: "background", "striped star", ..., by label."""
    adjective = {"stripes": "striped", "checks": "checked", "dots": "dotted", "speckle": "speckled"}
    kinds = [_kind(label) for label in range(1, num_labels)]
    return ("background", *(f"{adjective.get(t, t)} {s}" for s, t in kinds))


def _stream(seed: int, number: int) -> int:
    """A seed of its own for each part of a scene."""
    mixed = int(_mixed(np.array([seed % 2**32], np.uint32))[0])
    return (mixed + 0x9E3779B1 * (number + 1)) % 2**32


# --- the background ----------------------------------------------------------------------------


def _background(height: int, width: int, seed: int) -> tuple[Array, list[Array]]:
    """Linear RGB `[H, W, 3]` of two rough tones side by side, and the tones."""
    draw = Draw(_stream(seed, 0))
    first = np.array([draw.uniform(0.10, 0.65) for _ in range(3)])
    second = np.clip(first + [draw.uniform(-0.22, 0.22) for _ in range(3)], 0.04, 0.8)
    patches = field(height, width, 0.35 * min(height, width) + 8.0, _stream(seed, 1))
    share = smoothstep(0.46, 0.54, patches)  # an edge between tones that is no edge of labels
    rough = 0.6 * field(height, width, 11.0, _stream(seed, 2))
    rough += 0.4 * field(height, width, 3.0, _stream(seed, 3))
    return mix(first, second, share) * (0.7 + 0.6 * rough)[..., None], [first, second]


def _light(height: int, width: int, seed: int) -> Array:
    """Brightness `[H, W]` that falls off to one side."""
    draw = Draw(_stream(seed, 4))
    cosine, sine = turn(draw.uniform(0.0, 1.0))
    fall = draw.uniform(0.05, 0.3)
    y, x = np.arange(height) / height - 0.5, np.arange(width) / width - 0.5
    return np.asarray(1.0 + fall * (cosine * x + (sine * y)[:, None]))


# --- objects -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Object:
    """An object before it is drawn."""

    label: int
    x: float
    y: float
    radius: float
    draw: Draw
    seed: int


def _objects(height: int, width: int, num_labels: int, count: int, seed: int) -> list[_Object]:
    """Farthest first."""
    objects = []
    for number in range(count):
        own = _stream(seed, 16 + number)
        draw = Draw(own)
        objects.append(
            _Object(
                label=draw.integer(1, num_labels),
                x=width * draw.uniform(0.05, 0.95),
                y=height * draw.uniform(0.05, 0.95),
                radius=min(height, width) * draw.uniform(0.15, 0.28),
                draw=draw,
                seed=own,
            )
        )
    return objects


def _colour(label: int, draw: Draw, around: list[Array]) -> Array:
    """A colour of the class, as unlike those around as a few draws allow."""
    usual = 0.3 + 0.3 * hash01(np.arange(3), 4001 + label)
    best, most = usual, -1.0
    for _ in range(_CANDIDATES):
        drawn = usual + [draw.uniform(-0.4, 0.4) for _ in range(3)]
        colour = np.clip(drawn, 0.03, 0.95)
        roots = [np.sqrt(colour) - np.sqrt(other) for other in around]  # as the eye sees them
        gap = min(float(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]) for r in roots)
        if gap > most:
            best, most = colour, gap
    return best


def _shifted(distance: Array, down: int, right: int) -> Array:
    """The distances moved down and to the right; far away where nothing is known."""
    moved = np.full_like(distance, 1e3)
    moved[down:, right:] = distance[: distance.shape[0] - down, : distance.shape[1] - right]
    return moved


def _paint(rgb: Array, labels: npt.NDArray[np.uint8], thing: _Object, around: list[Array]) -> Array:
    """Draw an object over what is there; returns its colour."""
    reach = thing.radius + _MARGIN
    top, left = max(0, int(thing.y - reach)), max(0, int(thing.x - reach))
    area = np.s_[top : int(thing.y + reach) + 1, left : int(thing.x + reach) + 1]
    height, width = labels[area].shape
    cosine, sine = turn(thing.draw.uniform(0.0, 1.0))
    x, y = (
        np.arange(left, left + width) - thing.x,
        (np.arange(top, top + height) - thing.y)[:, None],
    )
    u, v = cosine * x + sine * y, cosine * y - sine * x

    shape, texture = _kind(thing.label)
    colour = _colour(thing.label, thing.draw, around)
    distance = SHAPES[shape](u, v, thing.radius, thing.draw)
    pattern = TEXTURES[texture](u, v, thing.draw.uniform(5.0, 8.0), thing.seed)
    shade = 1.0 + thing.draw.uniform(-0.25, 0.25) * u / thing.radius
    surface = (shade * (1.0 + _TEXTURE * pattern))[..., None] * colour
    soft = thing.draw.uniform(1.0, 2.0)  # width of the blurred outline
    cover = np.clip(0.5 - distance / soft, 0.0, 1.0)[..., None]
    shadow = np.clip(0.5 - _shifted(distance, 2, 3) / 5.0, 0.0, 1.0)[..., None]
    behind = rgb[area] * (1.0 - 0.35 * shadow)
    rgb[area] = behind + (surface - behind) * cover
    labels[area][distance <= 0.0] = thing.label
    return colour


# --- the scene ---------------------------------------------------------------------------------


def _expose(rgb: Array, seed: int) -> npt.NDArray[np.uint8]:
    """Linear light to 8 bits: the lens' blur, a gamma of 2, sensor noise, rounding."""
    for axis in (0, 1):
        padded = np.pad(rgb, [(int(axis == other),) * 2 for other in range(3)], mode="edge")
        sides = np.delete(padded, [-1, -2], axis) + np.delete(padded, [0, 1], axis)
        rgb = 0.66 * rgb + 0.17 * sides
    grey = 255.0 * np.sqrt(np.clip(rgb, 0.0, 1.0))
    channel = np.arange(grey.size).reshape(grey.shape)
    # Two uniform numbers make a triangle of variance 2 / 12.
    bell = hash01(channel, _stream(seed, 5)) + hash01(channel, _stream(seed, 6)) - 1.0
    noisy = grey + _NOISE * 2.449489742783178 * bell
    return np.clip(np.floor(noisy + 0.5), 0.0, 255.0).astype(np.uint8)


def _with_void(labels: npt.NDArray[np.uint8], band: int) -> npt.NDArray[np.uint8]:
    """Void where another label is within `band` pixels, in rows and columns."""
    low, high = labels, labels
    for axis in (0, 1):
        padding = [(band, band) if other == axis else (0, 0) for other in (0, 1)]
        low, high = np.pad(low, padding, mode="edge"), np.pad(high, padding, mode="edge")
        length = labels.shape[axis]
        windows = [np.s_[k : k + length] for k in range(2 * band + 1)]
        cuts = [(w, np.s_[:]) if axis == 0 else (np.s_[:], w) for w in windows]
        low = np.minimum.reduce([low[cut] for cut in cuts])
        high = np.maximum.reduce([high[cut] for cut in cuts])
    return np.where(low == high, labels, np.uint8(_VOID))


def _bounded(name: str, value: object, low: int, high: int) -> int:
    number = _integer(name, value)
    if not low <= number <= high:
        raise ValueError(f"{name}: expected a number from {low} to {high}, got {number}")
    return number


def labelled_scene(
    seed: int,
    height: int = 128,
    width: int = 128,
    num_labels: int = 6,
    *,
    objects: int | None = None,
    void_band: int = 0,
) -> LabelledScene:
    """Draw a scene whose every pixel has a known class.

    Stars, combs, ellipses, shards, twigs and rings with stripes, checks, dots, speckles or plain,
    before a rough background of two tones. A class is a shape with a texture and the same in every
    scene, whatever `num_labels`; which classes occur, where, how large and in which colours is up
    to the seed. Not every scene has every class. The same arguments give the same bytes everywhere.

    Args:
        seed: another one gives another scene.
        height: rows, 16 to 4096.
        width: columns, 16 to 4096.
        num_labels: the background and the classes, 2 to 21.
        objects: how many are drawn, 1 to 400; None: 4 to 8 for a square, more for a strip.
        void_band: pixels on both sides of a boundary that become 255, void, 0 to 16; VOC's
            outlines have some 2 to 3.

    Returns:
        (image, labels): uint8 `[H, W, 3]` and uint8 `[H, W]`.

    Raises:
        ValueError: a number outside these bounds.
        TypeError: an argument that is not an integer.
    """
    seed = _integer("seed", seed)
    height = _bounded("height", height, 16, 4096)
    width = _bounded("width", width, 16, 4096)
    num_labels = _bounded("num_labels", num_labels, 2, MOST_LABELS)
    void_band = _bounded("void_band", void_band, 0, 16)
    if objects is None:
        many = 4 + 4.99 * float(hash01([0], _stream(seed, 7))[0])
        objects = min(400, int(many * max(height, width) / min(height, width)))
    objects = _bounded("objects", objects, 1, 400)

    rgb, around = _background(height, width, seed)
    labels = np.zeros((height, width), np.uint8)
    for thing in _objects(height, width, num_labels, objects, seed):
        colour = _paint(rgb, labels, thing, around)
        around = [*around[:2], *around[2:][-1:], colour]  # the tones and the last two objects
    image = _expose(rgb * _light(height, width, seed)[..., None], seed)
    return LabelledScene(image, _with_void(labels, void_band) if void_band else labels)
