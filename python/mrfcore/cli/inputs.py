# SPDX-License-Identifier: Apache-2.0
"""Pictures and masks as files: read, compared in size, refused where they cannot be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import io
from mrfcore._image_losses import reading_losses

from .console import note

Image8 = npt.NDArray[np.uint8]

OCCLUDED = 128  # of Middlebury's and ETH3D's masks: known, but hidden in the other view
_MASK_COLOURS = 3  # black, white, and at most one between them


def read_picture(path: Path, quiet: bool) -> Image8:
    """An 8-bit image ``[H, W]`` or ``[H, W, 3]``; a note tells what of the file is left out.

    Raises:
        FileNotFoundError, ValueError: no such file, or not a readable image.
    """
    pixels = io.read_image(path)
    losses = [] if quiet else reading_losses(path)
    if losses:
        note(f"{path}: {', '.join(losses)}")
    return pixels


def require_same_size(
    first: npt.NDArray[Any], first_path: Path, second: npt.NDArray[Any], second_path: Path
) -> None:
    """Refuse two images of different height or width, naming both files.

    Raises:
        ValueError: the sizes differ.
    """
    if first.shape[:2] != second.shape[:2]:
        sizes = [f"{a.shape[1]} x {a.shape[0]}" for a in (first, second)]
        raise ValueError(
            f"{first_path} is {sizes[0]} pixels, {second_path} is {sizes[1]}; "
            "expected the same size"
        )


def read_mask(
    path: Path, image: Image8, image_path: Path, quiet: bool, *, out: int = 0
) -> npt.NDArray[np.bool_]:
    """A mask ``[H, W]``, True where an image file is neither black nor of grey level ``out``.

    Raises:
        FileNotFoundError, ValueError: unreadable, not of the size of ``image``, or a photograph.
    """
    pixels = read_picture(path, quiet)
    require_same_size(pixels, path, image, image_path)
    colours = _count_colours(pixels)
    if colours > _MASK_COLOURS:
        raise ValueError(
            f"{path} has {colours} colours, expected a black and white mask; apply a threshold, "
            "and save it without loss (.png, not .jpg)"
        )
    brightness = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    return np.asarray((brightness != 0) & (brightness != out))


def _count_colours(pixels: Image8) -> int:
    """How many different ones, without sorting: a photograph may have many millions of pixels."""
    if pixels.ndim == 2:
        code, codes = pixels, 1 << 8
    else:
        red, green, blue = np.moveaxis(pixels.astype(np.uint32), 2, 0)
        code, codes = red << 16 | green << 8 | blue, 1 << 24
    seen = np.zeros(codes, np.bool_)
    seen[code] = True
    return int(np.count_nonzero(seen))
