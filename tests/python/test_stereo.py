# SPDX-License-Identifier: Apache-2.0
"""match(): accuracy on pairs with ground truth, ranges, checks, and what it hands to minimize()."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import mrfcore
from mrfcore import stereo
from mrfcore.scene import render_stereo_scene

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def scene() -> Any:
    return render_stereo_scene(120, 160, 24)


def bad(disparity: Array, truth: Array, where: Array, threshold: float = 1.0) -> float:
    """Share of pixels off by more than the threshold; NaN is bad."""
    wrong = ~(np.abs(disparity - truth) <= threshold)
    return float(wrong[where].mean())


def test_match_finds_the_disparities_of_a_rendered_scene(scene: Any) -> None:
    result = stereo.match(scene.left, scene.right, scene.num_disparities)
    assert result.disparity.dtype == np.float32
    assert result.disparity.shape == result.valid.shape == result.labels.shape == (120, 160)
    assert not np.isnan(result.disparity).any()
    assert bad(result.disparity, scene.disparity, scene.nonocc) < 0.06
    assert bad(result.disparity, scene.disparity, result.valid & scene.nonocc) < 0.03
    # Half of the occluded pixels, at least, are found out.
    assert result.valid[~scene.nonocc].mean() < 0.5 < result.valid[scene.nonocc].mean()


def test_subpixel_values_are_closer_than_labels(scene: Any) -> None:
    fine = stereo.match(scene.left, scene.right, scene.num_disparities)
    coarse = stereo.match(
        scene.left, scene.right, scene.num_disparities, subpixel=False, smoothing=0, fill=False
    )
    valid = fine.valid & coarse.valid
    errors = [np.abs(r.disparity - scene.disparity)[valid] for r in (fine, coarse)]
    assert np.median(errors[0]) < 0.7 * np.median(errors[1])
    np.testing.assert_array_equal(coarse.disparity[valid], coarse.labels[valid])


def test_invalid_pixels_are_nan_unless_filled(scene: Any) -> None:
    result = stereo.match(scene.left, scene.right, scene.num_disparities, fill=False)
    np.testing.assert_array_equal(np.isnan(result.disparity), ~result.valid)
    assert not result.valid.all()
    free = stereo.match(
        scene.left, scene.right, scene.num_disparities, left_right_check=False, speckle_size=0
    )
    assert free.valid.all()


@pytest.mark.parametrize("minimum", [-30, -12, 5])
def test_any_range_of_disparities(scene: Any, minimum: int) -> None:
    """Cropping the views at different columns shifts all disparities by a constant."""
    shift = -minimum
    left = scene.left[:, 40 : 40 + 100]
    right = scene.right[:, 40 + minimum : 40 + minimum + 100] if minimum > 0 else None
    if right is None:
        right = np.roll(scene.right, shift, axis=1)[:, 40 : 40 + 100]
        expected = scene.disparity[:, 40:140] - shift
    else:
        expected = scene.disparity[:, 40:140] + minimum
    result = stereo.match(left, right, 24, minimum)
    assert result.min_disparity == minimum
    target = np.arange(100) - expected
    seen = scene.nonocc[:, 40:140] & (target > 2) & (target < 97)
    assert seen.mean() > 0.2
    assert bad(result.disparity, expected, seen) < 0.1
    assert (np.abs(result.disparity - minimum - result.labels)[result.valid] < 3).all()


def test_swapped_and_mirrored_pair_gives_the_right_view(scene: Any) -> None:
    """Independent check of the sign conventions: the right view's disparities, mirrored."""
    mirrored = stereo.match(scene.right[:, ::-1], scene.left[:, ::-1], scene.num_disparities)
    disparity = mirrored.disparity[:, ::-1]
    forward = stereo.match(scene.left, scene.right, scene.num_disparities)
    x = np.arange(160) - np.rint(forward.disparity).astype(int)
    back = np.take_along_axis(disparity, np.clip(x, 0, 159), axis=1)
    agree = np.abs(back - forward.disparity)[forward.valid] <= 1.5
    assert agree.mean() > 0.93


def test_checks_of_the_right_view(scene: Any) -> None:
    """The better the right view's labels, the fewer pixels are rejected by mistake."""
    free, quick, solve = (
        stereo.match(scene.left, scene.right, 24, left_right_check=check)
        for check in ("costs", True, "solve")
    )
    for result in (quick, solve):
        np.testing.assert_array_equal(result.labels, free.labels)
    assert (~solve.valid & scene.nonocc).mean() < (~free.valid & scene.nonocc).mean()
    for result in (quick, solve):
        assert result.valid[~scene.nonocc].mean() < free.valid[~scene.nonocc].mean()
    for result in (free, quick, solve):
        assert bad(result.disparity, scene.disparity, result.valid & scene.nonocc) < 0.03


def test_solve_checks_against_the_mirrored_and_swapped_problem(scene: Any) -> None:
    solve = stereo.match(scene.left, scene.right, 24, left_right_check="solve", speckle_size=0)
    mirrored = stereo.match(scene.right[:, ::-1], scene.left[:, ::-1], 24).labels[:, ::-1]
    target = np.arange(160) - solve.labels
    back = np.take_along_axis(mirrored, np.clip(target, 0, 159), axis=1)
    consistent = (target >= 0) & (np.abs(back - solve.labels) <= 1)
    assert (consistent == solve.valid).mean() > 0.98


def test_an_array_of_weights_is_checked_by_costs(scene: Any) -> None:
    weights = stereo.exponential_weights(scene.left)
    own = stereo.match(scene.left, scene.right, 24, weights=weights)
    named = stereo.match(scene.left, scene.right, 24, left_right_check="costs")
    np.testing.assert_array_equal(own.disparity, named.disparity)


def test_uniqueness_and_speckles_only_remove(scene: Any) -> None:
    loose = stereo.match(scene.left, scene.right, 24, speckle_size=0)
    unique = stereo.match(scene.left, scene.right, 24, speckle_size=0, uniqueness=0.2)
    tidy = stereo.match(scene.left, scene.right, 24, speckle_size=60)
    for strict in (unique, tidy):
        assert not (strict.valid & ~loose.valid).any()
        assert strict.valid.sum() < loose.valid.sum()


def test_energy_bound_costs_and_labels_are_those_of_minimize(scene: Any) -> None:
    volume = stereo.cost_volume(scene.left, scene.right, 24, truncation=60)
    potential, weights = mrfcore.TruncatedLinear(3), 12.0
    result = stereo.match(
        scene.left, scene.right, 24, cost=volume, potential=potential, weights=weights,
        solver="trws", iterations=4, lower_bound=True, trace=True, return_costs=True,
    )  # fmt: skip
    direct = mrfcore.minimize(
        volume, potential, weights, solver="trws", iterations=4, lower_bound=True
    )
    np.testing.assert_array_equal(result.labels, direct.labels)
    np.testing.assert_array_equal(result.costs, direct.costs)
    assert (result.energy, result.lower_bound, result.gap, result.iterations) == (
        direct.energy, direct.lower_bound, direct.gap, direct.iterations
    )  # fmt: skip
    assert result.trace is not None
    assert len(result.trace.energy) == 4
    named = stereo.match(
        scene.left, scene.right, 24, cost="birchfield_tomasi", potential=potential,
        weights=weights, solver="trws", iterations=4,
    )  # fmt: skip
    np.testing.assert_array_equal(named.labels, result.labels)
    assert named.costs is None
    double = stereo.match(
        scene.left,
        scene.right,
        24,
        cost=volume.astype(np.float64),
        potential=potential,
        weights=weights,
        left_right_check="solve",
    )
    assert bad(double.disparity, scene.disparity, scene.nonocc) < 0.15
    assert named.lower_bound is None


@pytest.mark.parametrize("cost", ["mixed", *stereo.COSTS])
def test_every_cost_has_sensible_defaults(scene: Any, cost: str) -> None:
    colour = stereo.match(scene.left, scene.right, 24, cost=cost)
    assert bad(colour.disparity, scene.disparity, scene.nonocc) < 0.15
    grey = [image[:, :, 1] for image in (scene.left, scene.right)]
    plain = stereo.match(*grey, 24, cost=cost)
    assert bad(plain.disparity, scene.disparity, scene.nonocc) < 0.17


def test_constant_weights_are_ones(scene: Any) -> None:
    named, number, array = (
        stereo.match(scene.left, scene.right, 24, weights=weights, left_right_check="costs")
        for weights in ("constant", 1, np.ones((2, 120, 160)))
    )
    np.testing.assert_array_equal(named.disparity, number.disparity)
    np.testing.assert_array_equal(named.disparity, array.disparity)
    assert bad(named.disparity, scene.disparity, scene.nonocc) < 0.1
    stronger = stereo.match(scene.left, scene.right, 24, weights=4.0)
    assert stronger.energy > named.energy


@pytest.mark.parametrize("connectivity", [8, 16])
def test_more_connections(scene: Any, connectivity: int) -> None:
    result = stereo.match(scene.left, scene.right, 24, connectivity=connectivity, iterations=5)
    assert bad(result.disparity, scene.disparity, scene.nonocc) < 0.1


def test_floats_and_threads_give_the_same_map(scene: Any) -> None:
    one = stereo.match(scene.left, scene.right, 24, cost="absolute", threads=1, iterations=3)
    other = stereo.match(
        scene.left.astype(np.float32), scene.right.astype(np.float64), 24, cost="absolute",
        threads=3, iterations=3,
    )  # fmt: skip
    np.testing.assert_array_equal(one.disparity, other.disparity)


@pytest.mark.parametrize(
    "change", [lambda x: 0.7 * x + 8, lambda x: 255 * (x / 255) ** 1.3], ids=["darker", "gamma"]
)
def test_changes_of_light_do_little_harm(scene: Any, change: Callable[[Array], Array]) -> None:
    right = np.clip(change(scene.right.astype(float)), 0, 255).astype(np.uint8)
    result = stereo.match(scene.left, right, 24)
    assert bad(result.disparity, scene.disparity, scene.nonocc) < 0.1


def test_callback_stops(scene: Any) -> None:
    seen: list[int] = []

    def stop_at_two(progress: mrfcore.Progress) -> bool:
        seen.append(progress.iteration)
        return progress.iteration == 2

    result = stereo.match(scene.left, scene.right, 24, callback=stop_at_two)
    assert seen == [1, 2]
    assert result.iterations == 2


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3)])
@pytest.mark.parametrize("labels", [1, 2, 5])
def test_tiny_images(size: tuple[int, int], labels: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, size).astype(np.uint8)
    result = stereo.match(image, image, labels, speckle_size=0)
    assert result.disparity.shape == size


def test_no_pixel_valid_stays_nan() -> None:
    """Most disparities point outside the right image, the rest is small enough for a speckle."""
    image = np.random.default_rng(0).integers(0, 255, (4, 6)).astype(np.uint8)
    result = stereo.match(image, image, 3, min_disparity=4)
    assert not result.valid.any()
    assert np.isnan(result.disparity).all()


def test_middlebury_pairs_are_matched_better_than_by_sgbm(data: Path) -> None:
    """Bad-1 of non-occluded pixels; the best OpenCV mode has 3.7, 2.1 and 13.1 % here, filled."""
    for name, scale, labels, most in (("tsukuba", 16, 16, 3.2), ("venus", 8, 20, 1.2),
                                      ("teddy", 4, 60, 6.0)):  # fmt: skip
        folder = data / "middlebury" / name
        left, right, truth, nonocc = (
            np.array(Image.open(folder / f)) for f in ("imL.ppm", "imR.ppm", "gt.pgm", "nonocc.png")
        )
        result = stereo.match(left, right, labels)
        where = (nonocc == 255) & (truth > 0)
        assert 100 * bad(result.disparity, truth.astype(np.float32) / scale, where) < most, name
