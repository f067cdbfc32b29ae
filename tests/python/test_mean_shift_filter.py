# SPDX-License-Identifier: Apache-2.0
"""Mean-shift filtering: the definition, OpenCV, and properties. Arrays: test_mean_shift_segment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import mean_shift_filter_reference as reference
from mean_shift_filter_reference import blocks
from mrfcore import mean_shift_filter

Array = npt.NDArray[Any]


def photo(data: Path, rows: int = 80, columns: int = 110) -> Array:
    image = np.array(Image.open(data / "middlebury/tsukuba/imL.ppm"))
    return np.ascontiguousarray(image[60 : 60 + rows, 100 : 100 + columns])


# ---------------------------------------------------------------- the definition


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "width", "spatial", "color"),
    [
        (30, 37, 4, 20),
        (30, 37, 10, 35.5),
        (12, 70, 18, 60),
        (1, 1, 3, 20),
        (1, 40, 5, 30),
        (40, 1, 5, 30),
        (7, 9, 50, 40),
        (20, 21, 3, 300),
        (20, 21, 6, 255.9),
        (9, 9, 2, 0.5),
    ],
)
def test_bytes_are_the_definition_to_the_bit(
    height: int, width: int, spatial: int, color: float, channels: int
) -> None:
    image = blocks(height, width, channels)
    expected = reference.filtered(image, spatial, color)
    found = mean_shift_filter(image, spatial, color)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("iterations", "tolerance"), [(0, 1), (1, 1), (2, 0), (30, 0), (30, 12.5)])
def test_when_pixels_stop(iterations: int, tolerance: float) -> None:
    image = blocks()
    options: dict[str, Any] = {"iterations": iterations, "tolerance": tolerance}
    found = mean_shift_filter(image, 5, 30, **options)
    np.testing.assert_array_equal(found, reference.filtered(image, 5, 30, **options))


def test_windows_of_more_rows_than_sixteen_bits_hold() -> None:
    """Sums of 255 over more than 257 rows."""
    image = np.full((400, 2, 3), 250, np.uint8)
    image[::3] = 244
    found = mean_shift_filter(image, 190, 30, iterations=1)
    np.testing.assert_array_equal(found, reference.filtered(image, 190, 30, iterations=1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel", ["flat", "gaussian"])
@pytest.mark.parametrize(("spatial", "color"), [(4, 25.25), (20, 40.25)])
def test_floats_are_the_definition(kernel: str, channels: int, spatial: int, color: float) -> None:
    """But for a pixel or two whose place or membership is decided by rounding."""
    image = blocks(25, 40, channels).astype(np.float32)
    expected = reference.filtered(image, spatial, color, kernel=kernel)
    found = mean_shift_filter(image, spatial, color, kernel=kernel)
    assert found.dtype == np.float32
    assert np.mean(np.abs(found - expected).max(2) < 1e-3) > 0.995
    as_bytes = mean_shift_filter(image.astype(np.uint8), spatial, color, kernel=kernel)
    if kernel == "gaussian":
        np.testing.assert_array_equal(as_bytes, np.rint(found))


def test_doubles_and_halves_are_floats() -> None:
    image = blocks()
    found = mean_shift_filter(image.astype(np.float32), 4, 20)
    for dtype in (np.float64, np.float16):
        other = mean_shift_filter(image.astype(dtype), 4, 20)
        assert other.dtype == np.float32
        np.testing.assert_array_equal(other, found)


# ---------------------------------------------------------------- OpenCV


@pytest.mark.parametrize(
    ("spatial", "color", "iterations", "tolerance"),
    [(10, 20, 5, 1), (5, 40, 5, 1), (7, 15, 20, 0), (3, 300, 2, 3), (21, 51, 5, 1)],
)
def test_every_pixel_of_opencv(
    spatial: int, color: float, iterations: int, tolerance: float, data: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    image = photo(data)
    criteria = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, iterations, tolerance)
    expected = cv2.pyrMeanShiftFiltering(image, spatial, color, maxLevel=0, termcrit=criteria)
    found = mean_shift_filter(image, spatial, color, iterations=iterations, tolerance=tolerance)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [(80, 110), (79, 109), (16, 11)])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_pyramids_are_those_of_opencv(levels: int, size: tuple[int, int], data: Path) -> None:
    """No moves, and nothing that is not flat: what is left is halving and doubling."""
    cv2 = pytest.importorskip("cv2")
    image = photo(data, *size)
    expected, sizes = image, []
    for _ in range(levels):
        sizes.append(expected.shape[1::-1])
        expected = cv2.pyrDown(expected)
    for shape_above in reversed(sizes):
        expected = cv2.pyrUp(expected, dstsize=shape_above)
    found = mean_shift_filter(image, 3, 500, iterations=0, levels=levels)
    np.testing.assert_array_equal(found, expected)
    floats = mean_shift_filter(image.astype(np.float32), 3, 500, iterations=0, levels=levels)
    assert np.abs(floats - expected).max() < 2


def test_levels_are_close_to_opencv(data: Path) -> None:
    """Where the smaller result is not flat both filter again, but OpenCV fewer pixels."""
    cv2 = pytest.importorskip("cv2")
    image = photo(data)
    criteria = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 5, 1)
    expected = cv2.pyrMeanShiftFiltering(image, 10, 20, maxLevel=1, termcrit=criteria)
    found = mean_shift_filter(image, 10, 20, levels=1)
    assert np.mean((found == expected).all(2)) > 0.8
    whole = mean_shift_filter(image, 10, 20)
    chosen = (found == whole).all(2)
    assert 0.3 < chosen.mean() < 1
    assert np.mean((expected == found).all(2) | chosen) > 0.99


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("space", ["rgb", "luv"])
@pytest.mark.parametrize("kernel", ["flat", "gaussian"])
@pytest.mark.parametrize("levels", [0, 2])
def test_constant_images_stay(kernel: str, space: str, levels: int) -> None:
    image = np.full((13, 20, 3), (200, 13, 90), np.uint8)
    options: dict[str, Any] = {"kernel": kernel, "color_space": space, "levels": levels}
    np.testing.assert_array_equal(mean_shift_filter(image, 4, 10, **options), image)
    floats = mean_shift_filter(image.astype(np.float32), 4, 10, **options)
    np.testing.assert_allclose(floats, image, atol=1e-3)


def test_channels_and_axes_may_change_places() -> None:
    image = blocks()
    found = mean_shift_filter(image, 6, 30)
    order = [2, 0, 1]
    np.testing.assert_array_equal(mean_shift_filter(image[..., order], 6, 30), found[..., order])
    swapped = mean_shift_filter(image.transpose(1, 0, 2), 6, 30)
    np.testing.assert_array_equal(swapped.transpose(1, 0, 2), found)


@pytest.mark.parametrize("kernel", ["flat", "gaussian"])
def test_noise_goes_and_edges_stay(kernel: str) -> None:
    clean = blocks(60, 72, noise=0)
    noisy = blocks(60, 72, noise=6)
    found = mean_shift_filter(noisy, 8, 30, kernel=kernel, iterations=10).astype(float)
    before = np.abs(noisy.astype(float) - clean)
    after = np.abs(found - clean)
    assert after.mean() < 0.25 * before.mean()
    assert np.quantile(after, 0.99) < 5  # beside the edges, too: a blur would be off by 25


def test_grey_is_three_equal_channels_at_root_three_times_the_radius() -> None:
    grey = blocks(channels=1)
    colour = np.repeat(grey, 3, 2)
    found = mean_shift_filter(colour, 5, 20 * 3**0.5 + 1e-9)
    np.testing.assert_array_equal(found[..., :1], mean_shift_filter(grey, 5, 20))
    np.testing.assert_array_equal(mean_shift_filter(grey[..., 0], 5, 20), found[..., 0])


def test_luv_and_back(data: Path) -> None:
    """No moves: conversion there and back is no change."""
    image = photo(data)
    kept = mean_shift_filter(image, 5, 8, color_space="luv", iterations=0)
    np.testing.assert_array_equal(kept, image)
    found = mean_shift_filter(image, 5, 8, color_space="luv")
    plain = mean_shift_filter(image, 5, 20)
    assert 1 < np.abs(found.astype(float) - image).mean() < 12
    assert np.abs(found.astype(float) - plain).mean() < 6


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    "options",
    [{}, {"kernel": "gaussian"}, {"color_space": "luv"}, {"levels": 2}, {"color_radius": 280.0}],
    ids=str,
)
def test_same_bits(dtype: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    image = blocks(41, 53).astype(dtype)
    image[3, 4, 1] = 255
    monkeypatch.setenv("MRFCORE_CPU_ISA", "baseline")
    expected = mean_shift_filter(image, **options, threads=1)
    for isa in (None, "avx2"):
        if isa is None:
            monkeypatch.delenv("MRFCORE_CPU_ISA")
        else:
            monkeypatch.setenv("MRFCORE_CPU_ISA", isa)
        for threads in (1, 3):
            try:
                found = mean_shift_filter(image, **options, threads=threads)
            except ValueError as error:
                if "MRFCORE_CPU_ISA" in str(error):
                    continue  # not of this machine
                raise
            np.testing.assert_array_equal(found, expected)
