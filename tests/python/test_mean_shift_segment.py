# SPDX-License-Identifier: Apache-2.0
"""Regions of the mean-shift filter; arrays that both functions take, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mean_shift_filter_reference as reference
from mean_shift_filter_reference import blocks
from mrfcore import mean_shift_filter, mean_shift_segment
from test_bad_input import assert_refused, shape

# ---------------------------------------------------------------- regions


@pytest.mark.parametrize("min_size", [1, 2, 6, 25])
@pytest.mark.parametrize("color", [4, 12])
def test_regions_are_the_definition(color: float, min_size: int) -> None:
    image = blocks(15, 20, noise=12)
    smooth = mean_shift_filter(image, 3, color)
    for join in (color, color / 2):
        expected = reference.regions(smooth, join, min_size)
        found = mean_shift_segment(image, 3, color, join_radius=join, min_size=min_size)
        assert found.dtype == np.int32
        assert expected.max() > 3
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(mean_shift_segment(image, 3, color, min_size=min_size), expected)


def test_the_joining_radius() -> None:
    """A ramp of 8 a pixel, up and down again: neighbours belong together, or none do."""
    ramp = np.concatenate([np.arange(0, 160, 8), np.arange(152, -1, -8)])
    image = np.tile(ramp.astype(np.uint8), (4, 1))
    options: dict[str, Any] = {"iterations": 0, "min_size": 1, "color_radius": 12}
    assert mean_shift_segment(image, **options, join_radius=8).max() == 0
    columns = mean_shift_segment(image, **options)  # 6
    assert columns.max() == len(ramp) - 2  # the peak is two pixels wide
    assert (columns == columns[:1]).all()
    unit = image.astype(np.float32) / 255
    options["color_radius"] = 12 / 255
    np.testing.assert_array_equal(mean_shift_segment(unit, **options), columns)


def test_regions_of_rectangles() -> None:
    ids = mean_shift_segment(blocks(60, 72, noise=6), 8, 30)
    np.testing.assert_array_equal(np.unique(ids), np.arange(4))
    assert all(len(np.unique(part)) == 1 for part in (ids[:30, :24], ids[30:, 24:]))
    assert mean_shift_segment(blocks(60, 72), 8, 30, min_size=10**6).max() == 0
    assert mean_shift_segment(blocks(1, 1), min_size=10).tolist() == [[0]]


def test_small_regions_join_the_nearest_colour() -> None:
    image = np.full((8, 8), 40, np.uint8)
    image[:, 4:] = 200
    image[3, 3] = 150  # lies in the dark half, is nearer to the bright one, and touches both
    options: dict[str, Any] = {"spatial_radius": 1, "color_radius": 10, "iterations": 0}
    kept = mean_shift_segment(image, **options, min_size=1)
    assert kept[3, 3] == kept.max() == 2
    found = mean_shift_segment(image, **options, min_size=2)
    assert found[3, 3] == found[3, 4] == found.max() == 1


def test_regions_in_luv() -> None:
    """Two blues that are far apart in RGB and near in L*u*v*, two greys the other way round."""
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, :2], image[:, 2:4] = (0, 0, 10), (0, 0, 40)
    image[:, 4:6], image[:, 6:] = (110, 110, 110), (120, 120, 120)
    options: dict[str, Any] = {"iterations": 0, "min_size": 1}
    assert (
        mean_shift_segment(image, join_radius=20, **options)[0].tolist() == [0, 0, 1, 1] + [2] * 4
    )
    luv = mean_shift_segment(image, 1, 8, join_radius=3.5, color_space="luv", **options)[0]
    assert luv[4] != luv[6]


# ---------------------------------------------------------------- arrays


def test_tensors_and_batches() -> None:
    torch = pytest.importorskip("torch")
    images = np.stack([blocks(20, 26), blocks(20, 26)[::-1]])
    expected = np.stack([mean_shift_filter(image, 4, 20) for image in images])
    ids = np.stack([mean_shift_segment(image, 4, 20) for image in images])
    batch = torch.tensor(images.transpose(0, 3, 1, 2))
    for found in (mean_shift_filter(batch, 4, 20), mean_shift_filter(batch.float(), 4, 20)):
        assert found.shape == batch.shape
        assert found.is_contiguous()
    np.testing.assert_array_equal(mean_shift_filter(batch, 4, 20), expected.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(mean_shift_segment(batch, 4, 20), ids)
    assert mean_shift_segment(batch, 4, 20).dtype == torch.int32
    single = mean_shift_filter(torch.tensor(images[0]), 4, 20)
    assert isinstance(single, torch.Tensor)
    assert single.dtype == torch.uint8
    np.testing.assert_array_equal(single, expected[0])
    strided = torch.tensor(images[0].transpose(2, 0, 1).copy()).permute(1, 2, 0)
    np.testing.assert_array_equal(mean_shift_filter(strided, 4, 20), expected[0])
    with pytest.raises(TypeError, match=r"image: requires a gradient.*image\.detach"):
        mean_shift_filter(batch.float().requires_grad_(), 4, 20)


IMAGE = blocks(6, 8)
REFUSED: dict[str, tuple[type[Exception], tuple[str, ...], Callable[[], Any]]] = {
    "rank": (ValueError, ("image", shape(8)), lambda: mean_shift_filter(IMAGE[0, :, 0])),
    "channels": (ValueError, ("image", shape(6, 8, 2)), lambda: mean_shift_filter(IMAGE[..., :2])),
    "batch": (ValueError, ("image", shape(1, 6, 8, 3)), lambda: mean_shift_filter(IMAGE[None])),
    "empty": (ValueError, ("image", shape(0, 8, 3)), lambda: mean_shift_filter(IMAGE[:0])),
    "integers": (TypeError, ("image", "int64"), lambda: mean_shift_filter(IMAGE.astype(np.int64))),
    "nan": (ValueError, ("image", "finite"), lambda: mean_shift_filter(np.full((3, 4), np.nan))),
    "huge": (ValueError, ("image", "1e15"), lambda: mean_shift_filter(np.full((3, 4), 1e20))),
    "unit": (ValueError, ("image", "255"), lambda: mean_shift_filter(IMAGE / 255)),
    "text": (TypeError, ("image", "str"), lambda: mean_shift_filter("a.png")),
    "spatial": (ValueError, ("spatial_radius", "1..1024"), lambda: mean_shift_filter(IMAGE, 0)),
    "half": (TypeError, ("spatial_radius", "integer"), lambda: mean_shift_filter(IMAGE, 1.5)),
    "color": (ValueError, ("color_radius", "> 0"), lambda: mean_shift_filter(IMAGE, 2, 0)),
    "color nan": (ValueError, ("color_radius",), lambda: mean_shift_filter(IMAGE, 2, np.nan)),
    "kernel": (ValueError, ("kernel", "flat"), lambda: mean_shift_filter(IMAGE, kernel="box")),
    "space": (ValueError, ("color_space",), lambda: mean_shift_filter(IMAGE, color_space="lab")),
    "grey luv": (
        ValueError,
        ("color_space", "three", "1"),
        lambda: mean_shift_filter(IMAGE[..., 0], color_space="luv"),
    ),
    "iterations": (ValueError, ("iterations",), lambda: mean_shift_filter(IMAGE, iterations=-1)),
    "tolerance": (ValueError, ("tolerance", "-1"), lambda: mean_shift_filter(IMAGE, tolerance=-1)),
    "levels": (ValueError, ("levels", "0..8", "9"), lambda: mean_shift_filter(IMAGE, levels=9)),
    "threads": (ValueError, ("threads", "0"), lambda: mean_shift_filter(IMAGE, threads=0)),
    "join_radius": (
        ValueError,
        ("join_radius", "> 0", "0"),
        lambda: mean_shift_segment(IMAGE, join_radius=0),
    ),
    "min_size": (ValueError, ("min_size", "0"), lambda: mean_shift_segment(IMAGE, min_size=0)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    assert_refused(*REFUSED[case])


def test_unit_scale_with_a_radius_of_its_own() -> None:
    image = blocks() / 255
    found = mean_shift_filter(image, 4, 20.5 / 255, tolerance=1 / 255**2, iterations=1)
    whole = mean_shift_filter(image.astype(np.float32) * 255, 4, 20.5, iterations=1)
    assert np.mean(np.abs(found * 255 - whole).max(2) < 0.01) > 0.99
