# SPDX-License-Identifier: Apache-2.0
"""Errors of restored images."""

from __future__ import annotations

import math

import numpy.typing as npt

from mrfcore.metrics._arrays import real, same_shape

__all__ = ["psnr", "rmse"]


def rmse(image: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Root mean square difference of two images of the same shape, in their unit.

    Raises:
        ValueError: shapes differ, or empty.
    """
    values, truth = real(image, "image"), real(reference, "reference")
    same_shape(values, "image", truth, "reference")
    if not values.size:
        raise ValueError(f"image is empty: its shape is {values.shape}")
    return math.sqrt(float(((values - truth) ** 2).mean()))


def psnr(image: npt.ArrayLike, reference: npt.ArrayLike, data_range: float = 255.0) -> float:
    """Peak signal-to-noise ratio 20 log10(data_range / RMSE) in dB; inf for identical images.

    Args:
        image: any shape.
        reference: the same shape.
        data_range: largest possible value minus smallest (255 for 8-bit images, 1 for [0, 1]).

    Raises:
        ValueError: shapes differ, empty, or a range that is not positive.
    """
    if not data_range > 0:
        raise ValueError(f"data_range is {data_range}, expected a number > 0")
    error = rmse(image, reference)
    return math.inf if error == 0 else 20.0 * math.log10(data_range / error)
