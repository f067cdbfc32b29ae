# SPDX-License-Identifier: Apache-2.0
"""stereo.sgm on the CPU against its steps done one by one with the float engine."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mrfcore
from mrfcore import _core, stereo
from mrfcore._stereo_post import Checks, disparity_map, right_view_labels
from mrfcore.datasets import load_pair

RANDOM = np.random.default_rng(5)
INSTANCES = ("tsukuba", "venus", "teddy", "cones")


def images(*shape: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Noise, the left one shifted by 4 pixels and disturbed."""
    right = RANDOM.integers(0, 256, shape)
    left = np.roll(right, 4, axis=1) + RANDOM.integers(-6, 7, shape)
    return np.clip(left, 0, 255).astype(np.uint8), right.astype(np.uint8)


def step_by_step(
    left: npt.NDArray[Any],
    right: npt.NDArray[Any],
    labels: int,
    *,
    cost: str = "census",
    window: int | tuple[int, int] = (7, 9),
    truncation: float = 255,
    penalties: tuple[int, int] = (30, 60),
    min_disparity: int = 0,
    paths: int = 8,
    **checks: Any,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """(disparity, labels) of cost_volume, minimize and the checks of match()."""
    volume = stereo.cost_volume(
        left,
        right,
        labels,
        cost,
        min_disparity=min_disparity,
        truncation=truncation,
        window=window,
    )
    result = mrfcore.minimize(
        volume,
        mrfcore.SGMPenalty(*penalties),
        solver="sgm",
        connectivity=paths,
        iterations=1,
    )
    settings = {"max_difference": 1.0, "uniqueness": 0.05, "subpixel": True, **checks}
    other = right_view_labels(result.costs, min_disparity, 0)
    rest = {"speckle_size": 0, "smoothing": 0, "fill": False, "threads": 0}
    return (
        disparity_map(result, other, left, min_disparity, Checks(**settings, **rest))[0],
        result.labels,
    )


def agree(found: stereo.SGMResult, expected: tuple[Any, Any]) -> None:
    np.testing.assert_array_equal(found.labels, expected[1])
    np.testing.assert_array_equal(found.disparity, expected[0])  # NaN where NaN is
    np.testing.assert_array_equal(found.valid, ~np.isnan(expected[0]))


@pytest.mark.parametrize("name", INSTANCES)
def test_real_pairs(data: Path, name: str) -> None:
    pair = load_pair(name, data / "middlebury")
    labels = pair.num_disparities
    expected = step_by_step(pair.left, pair.right, labels)
    for threads in (1, 2, 3):
        agree(stereo.sgm(pair.left, pair.right, labels, threads=threads), expected)


@pytest.mark.parametrize("labels", [1, 2, 3, 17, 64, 65, 150, 256])
def test_numbers_of_labels(labels: int) -> None:
    left, right = images(12, 90)
    for first in (0, -labels // 2, 5):
        found = stereo.sgm(left, right, labels, min_disparity=first)
        agree(found, step_by_step(left, right, labels, min_disparity=first))


@pytest.mark.parametrize("paths", [4, 8])
@pytest.mark.parametrize("p2", [0, 7, 63, 64, 127, 128, 193, 194, 1000, 7936])
def test_penalties_on_all_sides_of_a_byte(p2: int, paths: int) -> None:
    left, right = images(20, 70, 3)
    found = stereo.sgm(left, right, 30, p1=p2 // 2, p2=p2, paths=paths)
    agree(found, step_by_step(left, right, 30, penalties=(p2 // 2, p2), paths=paths))


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("cost", ["absolute", "birchfield_tomasi"])
def test_costs_of_channels(cost: str, channels: tuple[int, ...]) -> None:
    left, right = images(15, 60, *channels)
    for truncation in (20, 255, 10_000):
        found = stereo.sgm(left, right, 20, cost=cost, truncation=truncation, p1=15, p2=40)
        limit = min(truncation, 255)
        agree(
            found,
            step_by_step(left, right, 20, cost=cost, truncation=limit, penalties=(15, 40)),
        )


@pytest.mark.parametrize("window", [3, 5, (1, 3), (3, 9), (7, 7), (1, 65), (65, 1), (5, 13)])
def test_census_windows(window: Any) -> None:
    left, right = images(11, 66, 3)
    found = stereo.sgm(left, right, 25, window=window, p1=10, p2=20)
    agree(found, step_by_step(left, right, 25, window=window, penalties=(10, 20)))


def test_float_images() -> None:
    left, right = (image.astype(np.float64) + 0.25 for image in images(10, 50, 3))
    agree(stereo.sgm(left, right, 21), step_by_step(left, right, 21))


def test_checks() -> None:
    left, right = images(14, 60)
    for checks in (
        {"uniqueness": 0.0, "max_difference": 0.0},
        {"uniqueness": 0.5, "max_difference": 3.5},
        {"uniqueness": 0.02, "subpixel": False},
    ):
        agree(stereo.sgm(left, right, 18, **checks), step_by_step(left, right, 18, **checks))


def test_batches_are_their_images() -> None:
    left, right = (RANDOM.integers(0, 256, (3, 9, 40, 3)).astype(np.uint8) for _ in range(2))
    batch = stereo.sgm(left, right, 12)
    for item in range(3):
        single = stereo.sgm(left[item], right[item], 12)
        np.testing.assert_array_equal(batch.labels[item], single.labels)
        np.testing.assert_array_equal(batch.disparity[item], single.disparity)


def test_calls_side_by_side() -> None:
    """They share the memory that is kept between calls: only one may have it."""
    pairs = [images(160, 200) for _ in range(4)]
    expected = [stereo.sgm(*pair, 128).labels for pair in pairs]
    found: list[Any] = [None] * len(pairs)

    def match(i: int) -> None:
        for _ in range(5):
            found[i] = stereo.sgm(*pairs[i], 128, threads=1).labels

    threads = [threading.Thread(target=match, args=(i,)) for i in range(len(pairs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_too_little_memory() -> None:
    """Asked before anything is allocated: 215 GiB."""
    if not 0 <= _core.available_bytes() < 200 * 2**30:
        pytest.skip("this machine has it, or does not say")
    image = np.zeros((30_000, 30_000), np.uint8)
    with pytest.raises(MemoryError, match="working memory"):
        stereo.sgm(image, image, 256)
