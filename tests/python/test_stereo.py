# SPDX-License-Identifier: Apache-2.0
"""Matching costs, edge weights and match(), against NumPy written from the definitions."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import mrfcore
from instances import INSTANCES
from mrfcore import stereo
from mrfcore.scene import render_stereo_scene
from test_bad_input import assert_refused, shape

Array = npt.NDArray[Any]


# ---- Independent definitions ---------------------------------------------------------------------


def pixel_cost(cost: str, left: Array, right: Array, y: int, x: int, x_right: int) -> float:
    """One cell by the definition; images [H, W, C], integers stay integers."""
    total = 0.0
    for c in range(left.shape[2]):
        a, b = (float(left[y, x, c]), float(right[y, x_right, c]))
        if cost.startswith("birchfield"):
            difference = min(
                outside(a, *interval(right, y, x_right, c)), outside(b, *interval(left, y, x, c))
            )
        else:
            difference = abs(a - b)
        total += difference**2 if "squared" in cost else difference
    return total


def interval(image: Array, y: int, x: int, c: int) -> tuple[float, float]:
    centre = image[y, x, c].item()
    values = [centre]
    for neighbour in (x - 1, x + 1):
        if 0 <= neighbour < image.shape[1]:
            double = centre + image[y, neighbour, c].item()
            values.append(double // 2 if image.dtype == np.uint8 else double / 2)
    return min(values), max(values)


def outside(value: float, low: float, high: float) -> float:
    return max(0.0, value - high, low - value)


def census_cost(window: tuple[int, int]) -> Callable[..., float]:
    def code(image: Array, y: int, x: int) -> list[bool]:
        height, width = image.shape[:2]
        half_h, half_w = window[0] // 2, window[1] // 2
        return [
            bool(
                image[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1), 0]
                < image[y, x, 0]
            )
            for dy in range(-half_h, half_h + 1)
            for dx in range(-half_w, half_w + 1)
        ]

    def cost(_: str, left: Array, right: Array, y: int, x: int, x_right: int) -> float:
        pairs = zip(code(left, y, x), code(right, y, x_right), strict=True)
        return float(sum(a != b for a, b in pairs))

    return cost


def plain_volume(
    left: Array, right: Array, labels: int, minimum: int, cell: Callable[..., float], border: float
) -> Array:
    height, width = left.shape[:2]
    volume = np.full((height, width, labels), border)
    for y, x, label in itertools.product(range(height), range(width), range(labels)):
        x_right = x - minimum - label
        if 0 <= x_right < width:
            volume[y, x, label] = cell("", left, right, y, x, x_right)
    return volume


def random_pair(height: int, width: int, channels: int, dtype: Any) -> tuple[Array, Array]:
    rng = np.random.default_rng(height * width + channels)
    pair = rng.integers(0, 256, (2, height, width, channels))
    if dtype == np.uint8:
        return pair[0].astype(np.uint8), pair[1].astype(np.uint8)
    quarters = (pair + rng.integers(0, 4, pair.shape) / 4).astype(dtype)  # exact in float32
    return quarters[0], quarters[1]


# ---- Cost volumes --------------------------------------------------------------------------------


@pytest.mark.parametrize("minimum", [0, 3, -4, -40, 40])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "cost", ["birchfield_tomasi", "birchfield_tomasi_squared", "absolute", "squared"]
)
def test_costs_follow_their_definition(cost: str, channels: int, dtype: Any, minimum: int) -> None:
    left, right = random_pair(3, 21, channels, dtype)
    volume = stereo.cost_volume(left, right, 9, cost, min_disparity=minimum)
    border = channels * (255.0**2 if "squared" in cost else 255.0)
    expected = plain_volume(
        left, right, 9, minimum, lambda _, *args: pixel_cost(cost, *args), border
    )
    assert volume.dtype == np.float32
    np.testing.assert_array_equal(volume, expected)


@pytest.mark.parametrize("window", [(7, 9), (5, 5), (1, 3), (3, 1), (13, 5), (1, 65)])
def test_census_follows_its_definition(window: tuple[int, int]) -> None:
    left, right = random_pair(6, 19, 1, np.uint8)
    left[:, 4:8] = left[0, 4]  # equal neighbours are not darker
    volume = stereo.cost_volume(left, right, 7, "census", min_disparity=-2, window=window)
    bits = window[0] * window[1] - 1
    expected = plain_volume(left, right, 7, -2, census_cost(window), bits)
    np.testing.assert_array_equal(volume, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_census_of_colour_is_the_census_of_luma(dtype: Any) -> None:
    left, right = random_pair(8, 16, 3, dtype)
    luma = [image.astype(np.float64) @ [0.299, 0.587, 0.114] for image in (left, right)]
    if dtype == np.uint8:
        luma = [np.floor(image + 0.5).astype(np.uint8) for image in luma]
    np.testing.assert_array_equal(
        stereo.cost_volume(left, right, 5, "census", window=5),
        stereo.cost_volume(luma[0], luma[1], 5, "census", window=(5, 5)),
    )


def test_truncation_and_border() -> None:
    left, right = random_pair(4, 12, 3, np.uint8)
    full = stereo.cost_volume(left, right, 6)
    inside = np.arange(12)[:, np.newaxis] >= np.arange(6)
    cut = stereo.cost_volume(left, right, 6, truncation=48)
    np.testing.assert_array_equal(cut, np.minimum(full, 48))
    own = stereo.cost_volume(left, right, 6, truncation=48, border=50)
    np.testing.assert_array_equal(own, np.where(inside, np.minimum(full, 48), 50))
    forbidden = stereo.cost_volume(left, right, 6, border=np.inf)
    assert (forbidden[:, ~inside] == np.inf).all()


@pytest.mark.parametrize("name", [n for n in INSTANCES if n not in ("penguin", "house")])
def test_birchfield_tomasi_to_the_bit(
    name: str, data: Path, reference_energies: dict[str, Any]
) -> None:
    """Checksum of the int32 volume of the literature's stereo instances."""
    instance, reference = INSTANCES[name], reference_energies[name]
    left, right = (np.array(Image.open(data / p)) for p in (instance.left, instance.right))
    cost = "birchfield_tomasi_squared" if instance.squared else "birchfield_tomasi"
    volume = stereo.cost_volume(left, right, instance.num_labels, cost, truncation=instance.cap)
    assert volume.sum(dtype=np.float64) == reference["unary_sum"]
    digest = hashlib.sha256(volume.astype(np.int32).tobytes()).hexdigest()
    assert digest == reference["unary_sha256"]


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("cost", stereo.COSTS)
def test_same_bits_on_every_isa_and_thread_count(
    cost: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dtype, channels in ((np.uint8, 3), (np.float32, 1)):
        rng = np.random.default_rng(1)
        left, right = (rng.uniform(0, 255, (2, 17, 83, channels))).astype(dtype)
        monkeypatch.delenv("MRFCORE_CPU_ISA", raising=False)
        expected = stereo.cost_volume(left, right, 37, cost, min_disparity=-5, threads=1)
        monkeypatch.setenv("MRFCORE_CPU_ISA", isa)
        try:
            got = stereo.cost_volume(left, right, 37, cost, min_disparity=-5, threads=3)
        except ValueError as error:
            pytest.skip(str(error))
        np.testing.assert_array_equal(got, expected)


def test_layouts_and_types_of_images() -> None:
    left, right = random_pair(6, 14, 3, np.uint8)
    expected = stereo.cost_volume(left, right, 4)
    wide = np.zeros((6, 28, 3), np.uint8)
    wide[:, ::2] = left
    left.setflags(write=False)
    np.testing.assert_array_equal(stereo.cost_volume(wide[:, ::2], right, 4), expected)
    absolute = stereo.cost_volume(left, right, 4, "absolute")
    for kind in (np.float16, np.float64):
        mixed = stereo.cost_volume(left.astype(kind), right, 4, "absolute")
        np.testing.assert_array_equal(mixed, absolute)
    assert stereo.cost_volume(left, right, 4, dtype=np.float64).dtype == np.float64


# ---- Edge weights --------------------------------------------------------------------------------

PAIRS = [(0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1), (1, -2)]


@pytest.mark.parametrize("connectivity", [4, 8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_weights_follow_their_definition(connectivity: int, channels: int) -> None:
    image = np.random.default_rng(3).integers(0, 30, (5, 6, channels)).astype(np.uint8)
    steps = stereo.gradient_weights(image, connectivity, threshold=8, low=0.5, high=3)
    smooth = stereo.exponential_weights(image, connectivity, scale=12, floor=0.25)
    assert steps.shape == smooth.shape == (connectivity // 2, 5, 6)
    assert steps.dtype == smooth.dtype == np.float32
    for p, y, x in itertools.product(range(connectivity // 2), range(5), range(6)):
        qy, qx = y + PAIRS[p][0], x + PAIRS[p][1]
        if not (0 <= qy < 5 and 0 <= qx < 6):
            assert steps[p, y, x] == smooth[p, y, x] == 0
            continue
        difference = image[y, x].astype(float) - image[qy, qx]
        gradient = np.sqrt(np.mean(difference**2))
        assert steps[p, y, x] == (3 if gradient < 8 else 0.5)
        assert smooth[p, y, x] == pytest.approx(0.25 + 0.75 * np.exp(-gradient / 12), rel=1e-5)


def test_a_gradient_at_the_threshold_is_not_below_it() -> None:
    row = np.array([[10, 18, 25]], np.uint8)
    np.testing.assert_array_equal(stereo.gradient_weights(row)[0], [[1, 2, 0]])


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1), (2, 1)])
def test_weights_of_small_images(size: tuple[int, int]) -> None:
    weights = stereo.gradient_weights(np.zeros(size, np.uint8), 16)
    assert weights.shape == (8, *size)


@pytest.mark.parametrize("name", ["mb_tsukuba", "mb_venus", "mb_teddy"])
def test_middlebury_settings_give_the_published_energy(
    name: str, data: Path, reference_energies: dict[str, Any]
) -> None:
    """TRW-S, one iteration: costs and gradient weights together."""
    instance = INSTANCES[name]
    left, right = (np.array(Image.open(data / p)) for p in (instance.left, instance.right))
    cost = "birchfield_tomasi_squared" if instance.squared else "birchfield_tomasi"
    unary = stereo.cost_volume(
        left,
        right,
        instance.num_labels,
        cost,
        truncation=instance.cap,
        dtype=np.float64,  # as the published program
    )
    linear = instance.potential == "linear"
    kind = mrfcore.TruncatedLinear if linear else mrfcore.TruncatedQuadratic
    weights: Any = instance.weight
    if instance.gradient is not None:
        threshold, factor = instance.gradient
        weights = instance.weight * stereo.gradient_weights(left, threshold=threshold, high=factor)
    result = mrfcore.minimize(
        unary, kind(instance.truncation), weights, solver="trws", iterations=1
    )
    assert result.energy == reference_energies[name]["energies"]["TRWS_iter1"]


# ---- match() -------------------------------------------------------------------------------------


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
    """All disparities point outside the right image."""
    image = np.random.default_rng(0).integers(0, 255, (4, 6)).astype(np.uint8)
    result = stereo.match(image, image, 3, min_disparity=50)
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


# ---- Bad input -----------------------------------------------------------------------------------

GREY = np.random.default_rng(0).integers(0, 255, (6, 8)).astype(np.uint8)


def volume_of(left: Any = GREY, right: Any = GREY, labels: Any = 4, *args: Any, **kw: Any) -> Any:
    return stereo.cost_volume(left, right, labels, *args, **kw)


def match_of(left: Any = GREY, right: Any = GREY, labels: Any = 4, *args: Any, **kw: Any) -> Any:
    return stereo.match(left, right, labels, *args, **{"iterations": 1, **kw})


def unit(image: Array) -> Array:
    return image.astype(np.float32) / 255


VALUE_ERRORS: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    "rank": (("left", shape(6), "H, W"), lambda: volume_of(GREY[:, 0])),
    "channels": (("right", shape(6, 8, 2)), lambda: volume_of(right=np.stack([GREY] * 2, 2))),
    "RGBA": (("left", shape(6, 8, 4)), lambda: volume_of(np.stack([GREY] * 4, 2))),
    "empty": (("left", shape(0, 8)), lambda: volume_of(GREY[:0], GREY[:0])),
    "sizes": (("right", shape(6, 8), shape(6, 7)), lambda: volume_of(right=GREY[:, :7])),
    "nan pixels": (("left", "finite"), lambda: volume_of(np.full((6, 8), np.nan))),
    "no disparities": (("num_disparities", "0"), lambda: volume_of(labels=0)),
    "negative disparities": (("num_disparities", "-3"), lambda: volume_of(labels=-3)),
    "huge minimum": (("min_disparity",), lambda: volume_of(min_disparity=2**40)),
    "very negative minimum": (("min_disparity",), lambda: volume_of(min_disparity=-(2**40))),
    "cost": (("cost", "census", "'sad'"), lambda: volume_of(cost="sad")),
    "truncation": (("truncation", "-1"), lambda: volume_of(truncation=-1)),
    "nan truncation": (("truncation",), lambda: volume_of(truncation=float("nan"))),
    "nan border": (("border",), lambda: volume_of(border=float("nan"))),
    "even window": (("window", "4 x 5", "odd"), lambda: volume_of(cost="census", window=(4, 5))),
    "large window": (("window", "65"), lambda: volume_of(cost="census", window=9)),
    "window of one": (("window",), lambda: volume_of(cost="census", window=1)),
    "window of three sides": (("window",), lambda: volume_of(cost="census", window=(1, 2, 3))),
    "no threads": (("threads", "0"), lambda: volume_of(threads=0)),
    "connectivity": (("connectivity", "5"), lambda: stereo.gradient_weights(GREY, 5)),
    "threshold": (("threshold", "-2"), lambda: stereo.gradient_weights(GREY, threshold=-2)),
    "scale": (("scale", "0"), lambda: stereo.exponential_weights(GREY, scale=0)),
    "floor": (("floor", "1.5"), lambda: stereo.exponential_weights(GREY, floor=1.5)),
    "unit floats": (("0..255", "multiply"), lambda: match_of(unit(GREY), unit(GREY))),
    "match cost": (("cost", "mixed"), lambda: match_of(cost="nothing")),
    "volume shape": (
        ("cost", shape(6, 8, 4), shape(6, 8, 3)),
        lambda: match_of(cost=np.zeros((6, 8, 3)), potential=mrfcore.Potts()),
    ),
    "volume without potential": (("potential",), lambda: match_of(cost=np.zeros((6, 8, 4)))),
    "weights": (("weights", "constant"), lambda: match_of(weights="strong")),
    "weights shape": (("weights", shape(2, 6, 8)), lambda: match_of(weights=np.ones((6, 8)))),
    "check": (("left_right_check", "solve"), lambda: match_of(left_right_check="yes")),
    "weights of one view": (
        ("weights", "solve"),
        lambda: match_of(left_right_check="solve", weights=np.ones((2, 6, 8))),
    ),
    "max_difference": (("max_difference",), lambda: match_of(max_difference=-1)),
    "uniqueness": (("uniqueness",), lambda: match_of(uniqueness=-0.1)),
    "speckle_size": (("speckle_size",), lambda: match_of(speckle_size=-1)),
    "smoothing": (("smoothing",), lambda: match_of(smoothing=-1)),
    "solver": (("solver", "trwp"), lambda: match_of(solver="magic")),
    "match connectivity": (("connectivity", "6"), lambda: match_of(connectivity=6)),
}

TYPE_ERRORS: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    "text": (("left",), lambda: volume_of("left.png")),
    "none": (("right", "NoneType"), lambda: volume_of(right=None)),
    "uint16": (("left", "uint16", "uint8"), lambda: volume_of(GREY.astype(np.uint16))),
    "complex": (("left", "complex"), lambda: volume_of(GREY.astype(complex))),
    "disparities": (("num_disparities", "float"), lambda: volume_of(labels=4.0)),
    "minimum": (("min_disparity", "str"), lambda: volume_of(min_disparity="0")),
    "dtype": (("dtype", "int32"), lambda: volume_of(dtype=np.int32)),
    "truncation": (("truncation", "str"), lambda: volume_of(truncation="3")),
    "window": (("window", "float"), lambda: volume_of(cost="census", window=5.0)),
    "option": (("rho", "sgm"), lambda: match_of(solver="sgm", rho=0.5)),
    "smoothing": (("smoothing", "float"), lambda: match_of(smoothing=1.5)),
    "callback": (("callback",), lambda: match_of(callback=3)),
}


@pytest.mark.parametrize("case", VALUE_ERRORS)
def test_wrong_values_are_refused(case: str) -> None:
    assert_refused(ValueError, *VALUE_ERRORS[case])


@pytest.mark.parametrize("case", TYPE_ERRORS)
def test_wrong_types_are_refused(case: str) -> None:
    assert_refused(TypeError, *TYPE_ERRORS[case])


def test_a_volume_that_does_not_fit_is_refused_before_allocating() -> None:
    image = np.zeros((4000, 4000), np.uint8)
    with pytest.raises(MemoryError, match="missing"):
        stereo.cost_volume(image, image, 10_000_000)
