# SPDX-License-Identifier: Apache-2.0
"""Images as arguments: what stereo and restoration accept, and how they say no."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._arrays import to_numpy

__all__ = [
    "as_image",
    "as_pair",
    "fraction",
    "number",
    "refuse_unit_scale",
    "require_memory",
    "shape_of",
]


def shape_of(x: Any) -> list[int]:
    """For messages."""
    return [int(n) for n in np.shape(x)]


def as_image(name: str, x: object) -> npt.NDArray[Any]:
    """Contiguous [H, W, 1 or 3], uint8 or float32.

    Raises:
        TypeError: no array of numbers, or integers other than uint8.
        ValueError: not [H, W], [H, W, 1] or [H, W, 3]; empty; NaN or infinite pixels.
    """
    array = to_numpy(name, x)
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    if array.ndim != 3 or array.shape[2] not in (1, 3):
        raise ValueError(
            f"{name}: expected an image [H, W] (grey), [H, W, 1] or [H, W, 3] (RGB), "
            f"got shape {shape_of(x)}"
        )
    if 0 in array.shape:
        raise ValueError(f"{name}: expected at least one pixel, got shape {list(array.shape)}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name}: expected uint8 or floating-point pixels on the 0..255 scale, "
            f"got dtype {array.dtype}; rescale and convert it first"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite pixels, found NaN or infinity")
    return np.ascontiguousarray(array, dtype=np.float32)


def as_pair(left: object, right: object) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Both images of one shape and type; uint8 gives way to float32."""
    first, second = as_image("left", left), as_image("right", right)
    if first.shape != second.shape:
        raise ValueError(
            f"right: expected shape {shape_of(left)} as of left, got {shape_of(right)}"
        )
    if first.dtype != second.dtype:
        first, second = first.astype(np.float32), second.astype(np.float32)
    return first, second


def refuse_unit_scale(name: str, *images: npt.NDArray[Any]) -> None:
    """Images of 0..1 would pass for black ones: every default is made for 0..255.

    Raises:
        ValueError: float pixels, none above 1.
    """
    if any(image.dtype == np.uint8 for image in images):
        return
    greatest = max(float(np.abs(image).max()) for image in images)
    if 0 < greatest <= 1:
        raise ValueError(
            f"{name}: expected float pixels on the 0..255 scale, got values up to "
            f"{greatest:g}; multiply by 255"
        )


def number(name: str, value: object, least: float = 0.0, *, strict: bool = False) -> float:
    """A finite number >= least (> least if strict)."""
    sign = ">" if strict else ">="
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number {sign} {least:g}, got {type(value).__name__}")
    result = float(value)
    good = result > least if strict else result >= least
    if not (good and math.isfinite(result)):
        raise ValueError(f"{name}: expected a finite number {sign} {least:g}, got {value}")
    return result


def fraction(name: str, value: object) -> float:
    """A number in [0, 1]."""
    result = number(name, value)
    if result > 1:
        raise ValueError(f"{name}: expected a number in [0, 1], got {value}")
    return result


def require_memory(what: str, needed: int) -> None:
    """MemoryError, before anything is allocated, when `needed` bytes are not free."""
    if needed < 1 << 26:
        return
    available = _core.available_bytes()
    if 0 <= available < needed:
        raise MemoryError(
            f"{what} needs {needed:,} bytes ({needed / 2**30:.1f} GiB), {available:,} "
            f"({available / 2**30:.1f} GiB) are available: {needed - available:,} bytes are missing"
        )
