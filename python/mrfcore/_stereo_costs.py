# SPDX-License-Identifier: Apache-2.0
"""Matching costs of a rectified pair, and edge weights from an image."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._images import (
    as_image,
    as_pair,
    fraction,
    number,
    on_one_device,
    require_memory,
)
from mrfcore._scalars import _choice, _integer, _threads

__all__ = ["COSTS", "cost_volume", "exponential_weights", "gradient_weights"]

COSTS = ("birchfield_tomasi", "birchfield_tomasi_squared", "absolute", "squared", "census")
"""Matching costs of `cost_volume`."""

# (dy, dx) of the canonical direction pairs; see minimize().
_PAIRS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1), (1, -2))


class DisparityRange(NamedTuple):
    """Label l stands for the disparity `minimum` + l."""

    size: int
    minimum: int


def disparity_range(num_disparities: object, min_disparity: object) -> DisparityRange:
    """Checked."""
    count = _integer("num_disparities", num_disparities)
    if count < 1:
        raise ValueError(f"num_disparities: expected a number >= 1, got {num_disparities}")
    minimum = _integer("min_disparity", min_disparity)
    if minimum < -(2**31):
        raise ValueError(f"min_disparity: expected a number above -2**31, got {min_disparity}")
    return DisparityRange(count, minimum)


def require_overlap(labels: DisparityRange, width: int) -> None:
    """Some disparity must match a pixel: x - d lies in both images for |d| < width only.

    Raises:
        ValueError: none does.
    """
    first, last = labels.minimum, labels.minimum + labels.size - 1
    if first >= width or last <= -width:
        raise ValueError(
            f"num_disparities, min_disparity: the disparities searched, {first} .. {last}, match "
            f"no pixel of images {width} pixels wide; expected some within "
            f"{1 - width} .. {width - 1}"
        )


def cost_volume(
    left: Any,
    right: Any,
    num_disparities: int,
    cost: str = "birchfield_tomasi",
    *,
    min_disparity: int = 0,
    truncation: float | None = None,
    border: float | None = None,
    window: int | tuple[int, int] = (7, 9),
    dtype: npt.DTypeLike = np.float32,
    threads: int | None = None,
) -> Any:
    """Cost of every disparity at every pixel of the left (reference) image.

    Label l stands for disparity d = min_disparity + l, in pixels: left pixel (y, x) against right
    pixel (y, x - d).

    Args:
        left: image [H, W] or [H, W, 3]; uint8, or floats on the same 0..255 scale (taken as
            float32; nothing is rescaled). On a GPU (torch, CuPy) the work is done there, in torch's
            current stream.
        right: image like left, rectified: matches lie on the same row.
        num_disparities: D, number of labels.
        cost: "birchfield_tomasi" (Birchfield & Tomasi 1998: distance of a pixel to the other's
            interval of half-way values, both ways, the smaller; halves are rounded down on uint8,
            exact on floats), "birchfield_tomasi_squared" (squared in each channel),
            "absolute" |L - R|, "squared" (L - R)^2, all summed over channels; or "census" (Zabih &
            Woodfill 1994: differing bits of the codes "neighbour darker than centre" of the luma;
            windows repeat the image's border pixels).
        min_disparity: disparity of label 0; may be negative.
        truncation: costs inside the image are min(cost, truncation), channels together.
        border: cost where x - d leaves the image, written as it is. Default: the greatest cost of
            0..255 images, 255 (255^2 if squared) times the channels, for census the number of bits;
            or `truncation` where that is less.
        window: census window (height, width), or its side: odd, at most 65 pixels.
        dtype: float32 or float64 of the result.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.

    Returns:
        [H, W, D], labels contiguous: `minimize` takes it as it is. A NumPy array, or for images on
        a GPU an array there, of the library that left came from, with the same bits.

    Raises:
        ValueError: shapes that differ or do not fit, empty or not finite images, options out of
            range; the message names the argument.
        TypeError: images of integers other than uint8, one of them on a GPU and the other not,
            options of the wrong type.
        MemoryError: the volume does not fit; raised before allocating.
    """
    on_gpu = on_one_device(left, right)
    labels = disparity_range(num_disparities, min_disparity)
    _choice("cost", cost, COSTS)
    out_type = np.dtype(dtype)
    if out_type not in (np.float32, np.float64):
        raise TypeError(f"dtype: expected float32 or float64, got {out_type}")
    options: _CostOptions = {
        "truncation": None if truncation is None else number("truncation", truncation),
        "border": None if border is None else _border(border),
        "window": census_window(window),
    }
    count = _threads(threads)
    if on_gpu:
        from mrfcore import _stereo_device

        return _stereo_device.cost_volume(
            left, right, core_costs(labels, cost, **options), out_type
        )
    first, second = as_pair(left, right)
    volume = empty_volume(first, labels.size)
    write_costs(volume, first, second, labels.minimum, cost, **options, threads=count)
    return volume if out_type == np.float32 else volume.astype(out_type)


class _CostOptions(TypedDict):
    truncation: float | None
    border: float | None
    window: tuple[int, int]


def core_costs(
    labels: DisparityRange,
    cost: str,
    *,
    truncation: float | None,
    border: float | None,
    window: tuple[int, int],
) -> Any:
    """Options for the core; arguments are checked already."""
    options = _core.CostVolumeOptions()
    options.cost = getattr(_core.StereoCost, cost)
    options.num_disparities, options.min_disparity = labels
    options.truncation = math.inf if truncation is None else truncation
    options.border = border
    options.window_height, options.window_width = window
    return options


def empty_volume(image: npt.NDArray[Any], labels: int) -> npt.NDArray[np.float32]:
    """Uninitialised float32 [H, W, labels]."""
    shape = (*image.shape[:2], labels)
    require_memory(f"a cost volume of shape {list(shape)}", 4 * math.prod(shape))
    return np.empty(shape, np.float32)


def write_costs(
    volume: npt.NDArray[np.float32],
    left: npt.NDArray[Any],
    right: npt.NDArray[Any],
    min_disparity: int,
    cost: str,
    *,
    truncation: float | None = None,
    border: float | None = None,
    window: tuple[int, int] = (7, 9),
    scale: float = 1.0,
    accumulate: bool = False,
    threads: int = 0,
) -> None:
    """Volume = scale * cost, or += if accumulate; arguments are checked already."""
    _core.cost_volume(
        left,
        right,
        getattr(_core.StereoCost, cost),
        min_disparity,
        math.inf if truncation is None else truncation,
        border,
        *window,
        scale,
        accumulate,
        threads,
        volume,
    )


def gradient_weights(
    image: Any,
    connectivity: int = 4,
    *,
    threshold: float = 8.0,
    low: float = 1.0,
    high: float = 2.0,
) -> npt.NDArray[np.float32]:
    """Edge weights of the Middlebury MRF comparison (Szeliski et al. 2008): smooth areas bind more.

    Args:
        image: [H, W] or [H, W, 3], uint8 or floats on the 0..255 scale.
        connectivity: 4, 8 or 16.
        threshold: of the colour gradient, the root of the mean squared difference over channels.
        low: weight at gradients >= threshold.
        high: weight at gradients < threshold (their Tsukuba: 2 below 8; Teddy: 3 below 10).

    Returns:
        float32 [P, H, W], P = connectivity / 2; entry [p, y, x] belongs to the edge
        (y, x) - (y + dy_p, x + dx_p), 0 where that leaves the image.

    Raises:
        ValueError, TypeError: an argument is of the wrong shape, value or type.
    """
    below = number("threshold", threshold)
    lower, higher = number("low", low), number("high", high)
    # Compared as squares: the threshold decides exactly on integer images.
    return _edge_weights(
        image, connectivity, lambda squared: np.where(squared < below * below, higher, lower)
    )


def exponential_weights(
    image: Any, connectivity: int = 4, *, scale: float = 15.0, floor: float = 0.2
) -> npt.NDArray[np.float32]:
    """Edge weights floor + (1 - floor) exp(-g / scale), g the RMS colour gradient along the edge.

    Args:
        image: [H, W] or [H, W, 3], uint8 or floats on the 0..255 scale.
        connectivity: 4, 8 or 16.
        scale: gradient that takes the weight down by a factor e towards the floor.
        floor: weight across the strongest gradients, in [0, 1]; 1 in flat areas.

    Returns:
        float32 [P, H, W] as of `gradient_weights`.

    Raises:
        ValueError, TypeError: an argument is of the wrong shape, value or type.
    """
    rate = -1.0 / number("scale", scale, strict=True)
    least = fraction("floor", floor)
    return _edge_weights(
        image,
        connectivity,
        lambda squared: least + (1.0 - least) * np.exp(rate * np.sqrt(squared)),
    )


def _edge_weights(image: Any, connectivity: int, weight: Any) -> npt.NDArray[np.float32]:
    """Applies `weight` to the mean squared colour difference along each edge."""
    if _integer("connectivity", connectivity) not in (4, 8, 16):
        raise ValueError(f"connectivity: expected 4, 8 or 16, got {connectivity}")
    pixels = as_image("image", image).astype(np.float32)
    height, width = pixels.shape[:2]
    weights = np.zeros((connectivity // 2, height, width), np.float32)
    for plane, (dy, dx) in zip(weights, _PAIRS, strict=False):
        tail = (slice(0, max(0, height - dy)), slice(max(0, -dx), max(0, width - max(0, dx))))
        head = (slice(dy, None), slice(max(0, dx), max(0, width - max(0, -dx))))
        difference = pixels[tail] - pixels[head]
        plane[tail] = weight(np.mean(difference * difference, axis=2, dtype=np.float32))
    return weights


def _border(value: object) -> float:
    """Any number but NaN: +inf forbids labels that leave the image."""
    return math.inf if value == math.inf else number("border", value, -math.inf)


def census_window(window: object) -> tuple[int, int]:
    """(height, width); the core says which sizes go."""
    if isinstance(window, (tuple, list)):
        if len(window) != 2:
            raise ValueError(f"window: expected (height, width) or a side, got {window}")
        return _integer("window", window[0]), _integer("window", window[1])
    side = _integer("window", window)
    return side, side
