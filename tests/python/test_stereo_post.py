# SPDX-License-Identifier: Apache-2.0
"""Steps from costs to disparities, against loops written from their definitions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mrfcore import _stereo_post as post

Array = npt.NDArray[Any]
NAN = np.nan


@pytest.mark.parametrize("minimum", [0, 3, -2, -9, 30])
def test_right_view_labels(minimum: int) -> None:
    costs = np.random.default_rng(5).integers(0, 6, (4, 13, 7)).astype(np.float32)  # many ties
    expected = np.full((4, 13), -1)
    for y, x in itertools.product(range(4), range(13)):
        options = [
            (costs[y, x + minimum + label, label], label)
            for label in range(7)
            if 0 <= x + minimum + label < 13
        ]
        if options:
            expected[y, x] = min(options)[1]
    for threads in (1, 3):
        np.testing.assert_array_equal(post.right_view_labels(costs, minimum, threads), expected)


def test_right_view_labels_with_infinite_costs() -> None:
    costs = np.full((1, 3, 2), np.inf, np.float32)
    np.testing.assert_array_equal(post.right_view_labels(costs, 0, 1), [[0, 0, 0]])


def test_consistent() -> None:
    left = np.array([[0, 1, 1, 2, 0]], np.int32)
    right = np.array([[1, 3, -1, 0, 1]], np.int32)
    # Matches: x = 0 -> 0 (label 1), 1 -> 0 (1), 2 -> 1 (3), 3 -> 1 (3), 4 -> 4 (1).
    exact = [[False, True, False, False, False]]
    np.testing.assert_array_equal(post.consistent(left, right, 0, 0), exact)
    near = [[True, True, False, True, True]]
    np.testing.assert_array_equal(post.consistent(left, right, 0, 1), near)
    # Shifted by -3: x - d = 3, 3, 4, 4, 7.
    shifted = [[True, False, True, False, False]]
    np.testing.assert_array_equal(post.consistent(left, right, -3, 0), shifted)


def test_unique_ignores_direct_neighbours() -> None:
    costs = np.array([[[9, 10, 50, 11, 50], [10, 50, 50, 50, 50], [0, 0, 0, 0, 0]]], np.float32)
    labels = np.array([[0, 0, 1]], np.int32)
    np.testing.assert_array_equal(post.unique(costs, labels, 0.2), [[True, True, True]])
    np.testing.assert_array_equal(post.unique(costs, labels, 0.25), [[False, True, True]])


def test_subpixel_of_a_parabola_is_exact() -> None:
    minima = np.array([[1.25, 2.0, 3.4, 4.9, 0.2]], np.float32)
    costs = (np.arange(6, dtype=np.float32) - minima[:, :, np.newaxis]) ** 2
    labels = costs.argmin(axis=2).astype(np.int32)
    refined = labels + post.subpixel_offsets(costs, labels)
    # The first and the last label have one neighbour only.
    np.testing.assert_allclose(refined, [[1.25, 2.0, 3.4, 5, 0]], atol=1e-5)


def test_subpixel_of_flat_infinite_and_non_minimal_costs() -> None:
    costs = np.array(
        [[[3, 3, 3], [np.inf, 1, 2], [np.inf, np.inf, np.inf], [0, 1, 5], [5, 4, 0]]], np.float32
    )
    offsets = post.subpixel_offsets(costs, np.ones((1, 5), np.int32))
    np.testing.assert_allclose(offsets, [[0, 0, 0, -0.5, 0]])
    assert not post.subpixel_offsets(costs[:, :, :2], np.ones((1, 5), np.int32)).any()


def plain_smooth(disparity: Array, guide: Array, radius: int, reach: float, scale: float) -> Array:
    for axis in (1, 0):
        out = np.full(disparity.shape, NAN)
        for y, x in itertools.product(*map(range, disparity.shape)):
            total = weights = 0.0
            for k in range(-radius, radius + 1):
                qy, qx = (y, x + k) if axis == 1 else (y + k, x)
                if not (0 <= qy < disparity.shape[0] and 0 <= qx < disparity.shape[1]):
                    continue
                near = 1 - abs(disparity[qy, qx] - disparity[y, x]) / reach
                if not near > 0:
                    continue
                colour = np.abs(guide[qy, qx] - guide[y, x]).mean() / scale
                weight = near / (1 + colour**2)
                total, weights = total + weight * disparity[qy, qx], weights + weight
            out[y, x] = total / weights if weights else NAN
        disparity = out
    return disparity


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("radius", [0, 1, 4, 30])
def test_smoothing(channels: int, radius: int) -> None:
    rng = np.random.default_rng(radius)
    disparity = rng.uniform(0, 4, (9, 21)).astype(np.float32)
    disparity[rng.uniform(size=disparity.shape) < 0.2] = NAN
    guide = rng.integers(0, 60, (9, 21, channels)).astype(np.uint8)
    expected = plain_smooth(disparity.astype(float), guide.astype(float), radius, 1.5, 10.0)
    for threads in (1, 2):
        got = disparity.copy()
        post.smooth(got, guide, radius, 1.5, 10.0, threads)
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_smoothing_keeps_planes_and_steps() -> None:
    x = np.arange(40, dtype=np.float32)
    row = np.where(x < 20, 0.05 * x, 10 + 0.05 * x).astype(np.float32)
    plane = np.tile(row, (12, 1))
    got = plane.copy()
    post.smooth(got, np.full((12, 40, 1), 90, np.uint8), 5, 1.5, 10.0, 1)
    inner = np.r_[5:15, 25:35]
    np.testing.assert_allclose(got[:, inner], plane[:, inner], atol=1e-5)
    assert (got[:, :20] < 2).all()
    assert (got[:, 20:] > 10).all()


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_smoothing_has_the_same_bits_on_every_isa(
    isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    disparity = rng.uniform(0, 9, (31, 77)).astype(np.float32)
    guide = rng.integers(0, 255, (31, 77, 3)).astype(np.uint8)
    results = []
    for name in ("", isa):
        monkeypatch.setenv("MRFCORE_CPU_ISA", name)
        got = disparity.copy()
        try:
            post.smooth(got, guide, 6, 1.5, 10.0, 2)
        except ValueError as error:
            pytest.skip(str(error))
        results.append(got)
    np.testing.assert_array_equal(*results)


def test_speckles() -> None:
    disparity = np.array(
        [[1, 1, 9, 9, 9], [1, 5, 9, NAN, 3], [1, 1, 1, NAN, 3], [2, NAN, 7, 7, 7]], np.float32
    )
    got = disparity.copy()
    post.remove_speckles(got, 3, 1.0)
    kept = disparity.copy()
    kept[1, 1] = kept[1:3, 4] = kept[3, 2:] = NAN
    np.testing.assert_array_equal(got, kept)
    untouched = disparity.copy()
    post.remove_speckles(untouched, 0, 1.0)
    np.testing.assert_array_equal(untouched, disparity)
    post.remove_speckles(got, 100, 1.0)
    assert np.isnan(got).all()


def test_fill_takes_the_background() -> None:
    disparity = np.array(
        [
            [NAN, NAN, NAN, NAN, NAN],
            [NAN, 4, NAN, NAN, 2],
            [NAN, NAN, NAN, NAN, NAN],
            [NAN, NAN, NAN, NAN, NAN],
            [3, NAN, 8, NAN, NAN],
        ],
        np.float32,
    )
    above, below = [4, 4, 2, 2, 2], [3, 3, 8, 8, 8]
    np.testing.assert_array_equal(
        post.fill_background(disparity), [above, above, above, below, below]
    )
    nothing = np.full((2, 3), NAN, np.float32)
    np.testing.assert_array_equal(post.fill_background(nothing), nothing)
