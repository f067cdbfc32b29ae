# SPDX-License-Identifier: Apache-2.0
"""Matching costs and edge weights, against NumPy written from their definitions."""

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
