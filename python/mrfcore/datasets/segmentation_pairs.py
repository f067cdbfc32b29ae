# SPDX-License-Identifier: Apache-2.0
"""What the joint transforms share: checked pairs, random numbers, and windows into images."""

from __future__ import annotations

import multiprocessing
import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mrfcore._scalars import _integer
from mrfcore.datasets.segmentation_files import label_image

__all__ = ["FILL", "Draws", "Generator", "Pair", "Size", "Window", "as_pair", "as_size"]

FILL = (124, 116, 104)  # ImageNet's mean in grey levels: what padding should look like

Generator = np.random.Generator | int | None
Size = int | Sequence[int]
Pair = tuple[Image.Image, Image.Image]


def _as_image(image: Any) -> Image.Image:
    if isinstance(image, Image.Image):
        return image if image.mode == "RGB" else image.convert("RGB")
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(
            "image: expected a PIL image or uint8 [H, W, 3], got "
            f"{array.dtype} of shape {list(array.shape)}"
        )
    return Image.fromarray(array)


def _as_labels(labels: Any) -> Image.Image:
    if isinstance(labels, Image.Image):
        if labels.mode in ("P", "L", "I"):
            return labels
        raise ValueError(f"labels: expected a PIL image of mode P, L or I, got {labels.mode!r}")
    if isinstance(labels, (list, tuple)):
        raise TypeError(
            f"labels: expected one map, got a {type(labels).__name__} of {len(labels)}; "
            "BSDS500 gives one with person=0 or person='each'"
        )
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" or array.ndim != 2:
        raise ValueError(
            "labels: expected a PIL image or integers [H, W], got "
            f"{array.dtype} of shape {list(array.shape)}"
        )
    return label_image(array) if array.dtype == np.uint8 else Image.fromarray(array.astype("i4"))


def as_pair(image: Any, labels: Any) -> Pair:
    """Both as PIL images.

    Raises:
        ValueError, TypeError: they are no such thing, or differ in size.
    """
    picture, mask = _as_image(image), _as_labels(labels)
    if picture.size != mask.size:
        raise ValueError(
            f"labels: expected {picture.size[0]} x {picture.size[1]} pixels as of image, got "
            f"{mask.size[0]} x {mask.size[1]}"
        )
    return picture, mask


def as_size(size: Size) -> tuple[int, int]:
    """(height, width), both >= 1."""
    both = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(both) != 2:
        raise ValueError(f"size: expected a number or (height, width), got {size!r}")
    height, width = (_integer("size", number) for number in both)
    if min(height, width) < 1:
        raise ValueError(f"size: expected numbers >= 1, got {size!r}")
    return height, width


class Draws:
    """Random numbers that two processes do not share.

    The workers of a loader are copies of one process: left alone, all would draw the same numbers.
    The first draw in another process than the generator's makes a generator of its own, from the
    given one and the name of the process, which loaders number.
    """

    def __init__(self, generator: Generator) -> None:
        try:
            self._generator = np.random.default_rng(generator)
        except (TypeError, ValueError):
            raise TypeError(
                "generator: expected a numpy.random.Generator, a seed >= 0 or None, got "
                f"{generator!r}"
            ) from None
        self._process = os.getpid()

    def draw(self, count: int) -> list[float]:
        """Numbers in [0, 1)."""
        if os.getpid() != self._process:
            name = multiprocessing.current_process().name
            seeds = [int(self._generator.integers(2**32)), zlib.crc32(name.encode())]
            self._generator = np.random.default_rng(seeds)
            self._process = os.getpid()
        return [float(number) for number in self._generator.random(count)]


class Window:
    """Cuts rectangles that may reach beyond the image; void and a colour fill what is outside."""

    def __init__(self, void: int, fill: Sequence[int]) -> None:
        self.void = _integer("void", void)
        red, green, blue = _colour(fill)
        self.fill = (red, green, blue)

    def cut(self, pair: Pair, top: int, left: int, height: int, width: int) -> Pair:
        """The rectangle of both.

        Raises:
            ValueError: a void that the labels cannot hold.
        """
        picture, mask = pair
        if mask.mode != "I" and not 0 <= self.void <= 255:
            raise ValueError(
                f"void: expected 0 to 255 for labels of 8 bits (mode {mask.mode!r}), got "
                f"{self.void}"
            )
        image = Image.new("RGB", (width, height), self.fill)
        labels = Image.new(mask.mode, (width, height), self.void)
        if mask.mode == "P":
            labels.putpalette(mask.getpalette() or [])
        image.paste(picture, (-left, -top))
        labels.paste(mask, (-left, -top))
        return image, labels


def _colour(fill: Sequence[int]) -> list[int]:
    levels = [_integer("fill", level) for level in fill]
    if len(levels) != 3 or not all(0 <= level <= 255 for level in levels):
        raise ValueError(f"fill: expected three numbers from 0 to 255, got {tuple(fill)}")
    return levels
