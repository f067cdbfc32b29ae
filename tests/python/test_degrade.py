# SPDX-License-Identifier: Apache-2.0
"""Motion blur kernels: property P6.8, against a path of many points, bad arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mrfcore.degrade import motion_blur_kernel

ANGLES = (0.0, 17.0, 30.0, 45.0, 90.0, 101.5, 135.0, 179.9)


def walked(length: float, angle: float, size: int, points: int = 400_000) -> np.ndarray:
    """The same path as points, each counted by the pixel that it is nearest to."""
    t = (np.arange(points) + 0.5) / points - 0.5
    turn = math.radians(angle)
    x = np.rint(t * length * math.cos(turn)).astype(int) + size // 2
    y = np.rint(-t * length * math.sin(turn)).astype(int) + size // 2
    return np.bincount(y * size + x, minlength=size * size).reshape(size, size) / points


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("length", [1.0, 1.3, 2.0, 5.0, 8.6, 29.0, 30.0])
def test_p6_8_sum_symmetry_and_delta(length: float, angle: float) -> None:
    kernel = motion_blur_kernel(length, angle)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])
    if length == 1.0:
        np.testing.assert_array_equal(kernel, [[1.0]])


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("length", [1.0, 2.5, 9.0, 16.4])
def test_shares_are_those_of_a_path_of_points(length: float, angle: float) -> None:
    kernel = motion_blur_kernel(length, angle, 21)
    np.testing.assert_allclose(kernel, walked(length, angle, 21), atol=2e-5)


def test_along_the_axes() -> None:
    row = np.zeros((5, 5))
    row[2] = 0.2
    np.testing.assert_allclose(motion_blur_kernel(5, 0), row, atol=1e-15)
    np.testing.assert_allclose(motion_blur_kernel(5, 90), row.T, atol=1e-15)
    np.testing.assert_allclose(motion_blur_kernel(2, 0)[1], [0.25, 0.5, 0.25], atol=1e-15)


def test_angles_are_anticlockwise_and_repeat_after_180_degrees() -> None:
    up_right = motion_blur_kernel(9, 45)
    assert np.trace(up_right[::-1]) > 0.99  # from the lower left to the upper right
    for angle in ANGLES:
        for turns in (-360.0, -180.0, 180.0, 540.0):
            other = motion_blur_kernel(7.5, angle + turns)
            np.testing.assert_allclose(motion_blur_kernel(7.5, angle), other, atol=1e-12)
        mirrored = motion_blur_kernel(7.5, -angle)[::-1]
        np.testing.assert_allclose(motion_blur_kernel(7.5, angle), mirrored, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.5, 0), ValueError, r"length: expected pixels in \[1, 1024\], got 0.5"),
        ((math.nan, 0), ValueError, "length: expected pixels .* got nan"),
        (("9", 0), TypeError, "length: expected pixels .* got str"),
        ((9, math.inf), ValueError, "angle: expected a finite number of degrees, got inf"),
        ((9, None), TypeError, "angle: expected a finite number of degrees, got NoneType"),
        ((9, 0, 10), ValueError, "size: expected an odd number >= 9 for length 9, got 10"),
        ((9, 0, 7), ValueError, "size: expected an odd number >= 9 for length 9, got 7"),
        ((9, 0, 9.0), TypeError, "size: expected an integer, got float"),
    ],
)
def test_bad_arguments(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        motion_blur_kernel(*arguments)
