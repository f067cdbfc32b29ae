# SPDX-License-Identifier: Apache-2.0
"""Superpixels: SLIC, and how well superpixels keep to the segments that people drew.

>>> from mrfcore import superpixels
>>> ids = superpixels.slic(image, 225)
>>> superpixels.boundary_recall(ids, truth)

Pooling over superpixels, with gradients, is in `mrfcore.nn.functional`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._arrays import to_numpy
from mrfcore._scalars import _checked, _choice, _flag, _integer, _threads
from mrfcore._superpixel_scores import (
    achievable_accuracy,
    boundaries,
    boundary_recall,
    compactness,
    mean_colours,
    undersegmentation_error,
)

__all__ = [
    "achievable_accuracy",
    "boundaries",
    "boundary_recall",
    "compactness",
    "mean_colours",
    "slic",
    "undersegmentation_error",
]

_COLOR_SPACES = ("lab", "rgb")
_LAYOUTS = "is the layout right? NumPy images are [H, W, C], tensors [C, H, W] or [B, C, H, W]"


def slic(
    image: Any,
    num: int = 225,
    *,
    compactness: float = 10.0,
    iterations: int = 10,
    sigma: float = 0.0,
    enforce_connectivity: bool = True,
    min_size: int | None = None,
    color_space: str = "lab",
    threads: int | None = None,
) -> Any:
    """SLIC superpixels (Achanta et al. 2012): k-means in colour and place.

    A grid of about `num` cells is laid over the image; a centre starts at the pixel of least
    gradient among the 3 x 3 around each cell's middle. In every iteration each pixel takes, among
    the centres of its own cell and the eight around it, the one nearest by

        D^2 = |colour - colour'|^2 + (compactness / S)^2 |place - place'|^2,

    S being the longer side of a cell, and centres become the means of their pixels. All is computed
    in whole numbers, colours in 1/32: the result is the same to the pixel for any number of
    threads, on any machine.

    Args:
        image: NumPy [H, W] or [H, W, C], or a torch tensor [C, H, W] or [B, C, H, W], on the CPU or
            a GPU. uint8 counts from 0 to 255; floats from 0 to 1. On a GPU, where nobody waits to
            look, other values count as the nearest of these, NaN as 0. No gradients go through.
        num: superpixels wanted, 1..H W; there are about as many, perhaps a few more: `ids.max() +
            1` says how many.
        compactness: 0..100: the colour distance that is worth one cell. Larger: squarer.
        iterations: >= 0.
        sigma: standard deviation in pixels, 0..64, of a Gaussian that smooths the colours first.
        enforce_connectivity: make every superpixel one 4-connected piece. A piece of less than
            `min_size` pixels joins, of its neighbours that are larger than that or begin before it,
            the one of most similar mean colour; other pieces count as superpixels of their own.
            The piece in the upper left corner always stays, and where noise tears a cell of
            `min_size` pixels to smaller pieces, the largest of them.
        min_size: pixels of a piece that stays; None: a quarter of a cell.
        color_space: "lab": sRGB (C = 3) or grey (C = 1) is measured in CIE L*a*b*. "rgb": 1 to 8
            channels are taken as they are, times 100.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Returns:
        ids int32 [H, W] or, for a batch, [B, H, W], of the image's library: 0, 1, ... in every
        image, without gaps, in the order of first pixels (without connectivity: of cells).

    Raises:
        ValueError: wrong shape, value or option; the message names it.
        TypeError: wrong type or dtype.
    """
    options = slic_options(
        num,
        compactness,
        iterations,
        sigma,
        enforce_connectivity,
        min_size,
        color_space,
        threads,
    )
    if _is_tensor(image):
        from mrfcore.ops.slic import slic_of_tensor

        return slic_of_tensor(image, options)
    pixels = to_numpy("image", image)
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise ValueError(
            f"image: expected [H, W] or [H, W, C], none of them 0, got shape {list(pixels.shape)}"
        )
    if pixels.dtype != np.uint8:
        if pixels.dtype.kind != "f":
            raise TypeError(f"image: expected uint8 or floats in 0..1, got dtype {pixels.dtype}")
        pixels = pixels.astype(np.float32, copy=False)
    channels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    planes = channels.transpose(2, 0, 1)
    check_slic_image(planes.shape, options)
    return slic_of_array(planes[np.newaxis], options)[0]


def slic_options(
    num: int,
    compactness: float,
    iterations: int,
    sigma: float,
    enforce_connectivity: bool,
    min_size: int | None,
    color_space: str,
    threads: int | None,
) -> tuple[int, float, int, float, bool, int, bool, int]:
    """Checked, as the op `mrfcore::slic` takes them: a missing min_size is -1, "lab" True.

    Raises:
        ValueError, TypeError: as `slic`.
    """
    if _integer("num", num) < 1:
        raise ValueError(f"num: expected a number >= 1, got {num}")
    weight = _checked("compactness", compactness, lambda m: 0 <= m <= 100, "a number in 0..100")
    smoothing = _checked(
        "sigma", sigma, lambda s: math.isfinite(s) and 0 <= s <= 64, "a number in 0..64"
    )
    smallest = -1 if min_size is None else _integer("min_size", min_size)
    if min_size is not None and smallest < 0:
        raise ValueError(f"min_size: expected None or a number >= 0, got {min_size}")
    connected = _flag("enforce_connectivity", enforce_connectivity)
    lab = _choice("color_space", color_space, _COLOR_SPACES) == "lab"
    loops = _integer("iterations", iterations)
    return int(num), weight, loops, smoothing, connected, smallest, lab, _threads(threads)


def slic_of_array(
    image: npt.NDArray[Any], options: tuple[int, float, int, float, bool, int, bool, int]
) -> npt.NDArray[np.int32]:
    """Ids [B, H, W] of an image [B, C, H, W], uint8 or float32, of any strides."""
    num, weight, iterations, sigma, connected, smallest, lab, threads = options
    features = np.empty(image.shape, np.int16)
    _core.slic_features(image, lab, sigma, threads, features)
    ids = np.empty((image.shape[0], *image.shape[2:]), np.int32)
    counts = np.empty(image.shape[0], np.int32)
    _core.slic(features, num, weight, iterations, connected, smallest, threads, ids, counts)
    return ids


def _is_tensor(image: object) -> bool:
    """Of torch, or a subclass of its tensors; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def check_slic_image(
    shape: Sequence[int], options: tuple[int, float, int, float, bool, int, bool, int]
) -> None:
    """Raise ValueError unless an image [C, H, W] can have what is asked for."""
    channels, height, width = shape
    num, lab = options[0], options[6]
    if lab and channels not in (1, 3):
        hint = "drop an alpha channel, or use color_space='rgb'" if channels <= 8 else _LAYOUTS
        raise ValueError(
            f"image: expected 3 channels (red, green, blue) or 1 (grey) for color_space='lab', got "
            f"{channels}; {hint}"
        )
    if channels > 8:
        raise ValueError(f"image: expected 1 to 8 channels, got {channels}; {_LAYOUTS}")
    if num > height * width:
        raise ValueError(
            f"num: expected at most one superpixel a pixel, {height * width}, got {num}"
        )
