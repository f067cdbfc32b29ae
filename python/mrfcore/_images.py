# SPDX-License-Identifier: Apache-2.0
"""Images as arguments: what stereo and restoration accept, and how they say no."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._arrays import on_device, to_numpy

__all__ = [
    "as_image",
    "as_pair",
    "fraction",
    "image_shape",
    "number",
    "on_one_device",
    "refuse_unit_scale",
    "require_memory",
    "shape_of",
]


def shape_of(x: Any) -> list[int]:
    """For messages."""
    return [int(n) for n in np.shape(x)]


def image_shape(name: str, shape: Sequence[int], *, batches: bool = False) -> tuple[int, ...]:
    """(H, W, C) of an image's shape; (B, H, W, C) if batches, with B = 1 for a single image.

    Raises:
        ValueError: not [H, W], [H, W, 1] or [H, W, 3] (nor [B, H, W, 1 or 3] if batches); empty.
    """
    full = (*shape, 1) if len(shape) == 2 else tuple(shape)
    if len(full) not in ((3, 4) if batches else (3,)) or full[-1] not in (1, 3):
        raise ValueError(
            f"{name}: expected an image [H, W] (grey), [H, W, 1] or [H, W, 3] (RGB)"
            f"{', or a batch [B, H, W, 1 or 3]' if batches else ''}, got shape {list(shape)}"
        )
    if 0 in full:
        raise ValueError(f"{name}: expected at least one pixel, got shape {list(shape)}")
    return (1, *full) if batches and len(full) == 3 else full


def as_image(name: str, x: object, *, batches: bool = False) -> npt.NDArray[Any]:
    """Contiguous [H, W, C], C = 1 or 3, uint8 or float32; [B, H, W, C] if batches.

    Raises:
        TypeError: no array of numbers, or integers other than uint8.
        ValueError: see `image_shape`; NaN or infinite pixels.
    """
    array = to_numpy(name, x)
    array = array.reshape(image_shape(name, array.shape, batches=batches))
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


def as_pair(
    left: object, right: object, *, batches: bool = False
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Both images (`as_image`) of one shape and type; uint8 gives way to float32."""
    first = as_image("left", left, batches=batches)
    second = as_image("right", right, batches=batches)
    if first.shape != second.shape:
        raise ValueError(
            f"right: expected shape {shape_of(left)} as of left, got {shape_of(right)}"
        )
    if first.dtype != second.dtype:
        first, second = first.astype(np.float32), second.astype(np.float32)
    return first, second


def on_one_device(left: object, right: object) -> bool:
    """Whether both images are on a GPU.

    Raises:
        TypeError: only one of them is.
    """
    first, second = on_device(left), on_device(right)
    if first == second:
        return first
    raise TypeError(
        f"right: expected an image on the {'GPU' if first else 'CPU'}, as left is, got a "
        f"{type(right).__name__}{' on a GPU' if second else ''}; copy it there first"
    )


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
