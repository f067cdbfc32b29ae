# SPDX-License-Identifier: Apache-2.0
"""Known degradations of images, for data whose undamaged state one has.

>>> from mrfcore.degrade import motion_blur_kernel
>>> kernel = motion_blur_kernel(length=9, angle=30)  # [9, 9], sums to 1
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mrfcore._scalars import _checked, _integer

__all__ = ["motion_blur_kernel"]

_MAX_LENGTH = 1024.0


def _direction(angle: float) -> tuple[float, float]:
    """Cosine and sine of degrees; without the rounding of pi where one of them is 0."""
    quarters, rest = divmod(math.fmod(angle, 180.0) + 180.0, 90.0)
    c, s = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    return (c, s) if quarters % 2 == 0 else (-s, c)  # a segment is that of the opposite direction


def _crossing(
    centre: npt.NDArray[np.float64], speed: float, end: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """First and last t in [-end, end] at which speed * t is within half a pixel of `centre`."""
    if speed == 0.0:
        inside = np.abs(centre) < 0.5
        return np.where(inside, -end, end), np.where(inside, end, -end)
    bounds = np.stack([(centre - 0.5) / speed, (centre + 0.5) / speed])
    return np.maximum(bounds.min(axis=0), -end), np.minimum(bounds.max(axis=0), end)


def motion_blur_kernel(
    length: float, angle: float, size: int | None = None
) -> npt.NDArray[np.float64]:
    """Blur of a camera that moves evenly along a straight line while the shutter is open.

    The path is a segment through the middle of the kernel's centre pixel; every pixel weighs the
    share of the path that lies in it, exactly. So the kernel of length n along an axis is n times
    1 / n for odd n, that of length 1 is the delta that leaves images as they are, and all are
    symmetric under a turn by 180 degrees to the bit: correlation and convolution are the same.

    As a filter per pixel (`mrfcore.nn.functional.filter_flow`) it is
    ``torch.from_numpy(kernel).reshape(1, -1, 1, 1).expand(B, -1, H, W)``.

    Args:
        length: of the path, in pixels, from 1 (no blur) to 1024.
        angle: of the path, in degrees, anticlockwise from the right as images are shown (rows run
            downwards): 0 blurs along rows, 90 along columns. Period 180.
        size: side of the kernel, odd; None: the least that holds the path at every angle, i.e. the
            odd number 2 * ceil((length - 1) / 2) + 1.

    Returns:
        float64 array `[size, size]`, not negative, with the sum 1 up to rounding.

    Raises:
        ValueError: a length outside [1, 1024], an angle that is not finite, a size that is even or
            too small for the path.
        TypeError: an argument that is not a number, or a size that is not an integer.

    Source: the linear motion kernels with which S. Kong trains filter flow to deblur (Pixel-Level
    Prediction, 2019, section 6.3: length U[1, 30], angle U[0, 180)); how pixels share a path is
    not said there.
    """
    length = _checked(
        "length", length, lambda v: 1.0 <= v <= _MAX_LENGTH, f"pixels in [1, {_MAX_LENGTH:g}]"
    )
    angle = _checked("angle", angle, math.isfinite, "a finite number of degrees")
    radius = math.ceil((length - 1.0) / 2.0)
    if size is not None:
        size = _integer("size", size)
        if size % 2 == 0 or size <= 2 * radius:
            raise ValueError(
                f"size: expected an odd number >= {2 * radius + 1} for length {length:g}, "
                f"got {size}"
            )
        radius = size // 2
    c, s = _direction(angle)
    offsets = np.arange(-radius, radius + 1, dtype=np.float64)
    x_first, x_last = _crossing(offsets, c, 0.5 * length)
    y_first, y_last = _crossing(offsets, -s, 0.5 * length)  # rows run downwards
    first = np.maximum(x_first[None, :], y_first[:, None])
    last = np.minimum(x_last[None, :], y_last[:, None])
    kernel = np.maximum(last - first, 0.0)
    return np.asarray(kernel / kernel.sum())
