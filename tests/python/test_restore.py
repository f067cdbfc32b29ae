# SPDX-License-Identifier: Apache-2.0
"""Denoising and inpainting: the literature's energies, known answers, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import mrfcore
from mrfcore import restore
from test_bad_input import assert_refused, shape

Array = npt.NDArray[Any]


def steps(height: int = 24, width: int = 32) -> Array:
    """Four flat rectangles."""
    image = np.full((height, width), 60, np.uint8)
    image[height // 2 :] = 120
    image[:, width // 2 :] += 90
    return image


def noisy(image: Array, sigma: float, seed: int = 0) -> Array:
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def rms(a: Array, b: Array) -> float:
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


def energy_by_definition(image: Array, labels: Array, known: Array, w: float, t: float) -> float:
    x = labels.astype(float)
    total = float(((image - x) ** 2)[known].sum())
    for axis in (0, 1):
        total += w * float(np.minimum(np.diff(x, axis=axis) ** 2, t).sum())
    return total


@pytest.mark.parametrize(
    ("name", "weight", "truncation"), [("penguin", 25, 200), ("house", 5, np.inf)]
)
def test_the_literatures_energies(
    name: str, weight: float, truncation: float, data: Path, reference_energies: dict[str, Any]
) -> None:
    """One iteration of TRW-S; restore works in single precision, the printed values in double."""
    folder = data / "middlebury_mrf" / "denoise"
    image, mask = (np.array(Image.open(folder / f"{name}-{f}.png")) for f in ("input", "mask"))
    result = restore.denoise(
        image, weight=weight, truncation=truncation, mask=mask, solver="trws", iterations=1,
        lower_bound=True,
    )  # fmt: skip
    reference = reference_energies[name]["energies"]
    assert result.energy == pytest.approx(reference["TRWS_iter1"], rel=2e-5)
    assert result.lower_bound == pytest.approx(reference["TRWS_lb1"], rel=1e-5)
    assert result.energy == energy_by_definition(image, result.image, mask != 0, weight, truncation)


def test_noise_goes_edges_stay() -> None:
    clean = steps()
    result = restore.denoise(noisy(clean, 15), sigma=15)
    assert result.image.dtype == np.uint8
    assert result.image.shape == clean.shape
    assert rms(result.image, clean) < 6
    assert abs(int(result.image[5, 15]) - int(result.image[5, 16])) > 70
    assert (result.weight, result.sigma) == (15**2 / 200, 15)


def test_defaults_help_on_a_photograph(data: Path) -> None:
    """Noise is estimated; at sigma 10, 25 and 50 at least 2.5, 5 and 7 dB better."""
    clean = np.array(Image.open(data / "bsds500" / "images" / "3063.jpg").convert("L"))
    clean = clean[100:196, 150:278]
    for sigma, gain in ((10, 2.5), (25, 5), (50, 7)):
        image = noisy(clean, sigma)
        result = restore.denoise(image)
        assert result.sigma == pytest.approx(sigma, rel=0.25)
        assert 20 * np.log10(rms(image, clean) / rms(result.image, clean)) > gain


def test_colour_is_channel_by_channel() -> None:
    image = np.stack([noisy(np.roll(steps(), 3 * i, axis=1), 12, i) for i in range(3)], axis=2)
    result = restore.denoise(image, weight=1.0, lower_bound=True, trace=True, iterations=3)
    assert result.image.shape == image.shape
    assert result.traces is not None
    assert len(result.traces) == 3
    for c in range(3):
        single = restore.denoise(image[:, :, c], weight=1.0, lower_bound=True, iterations=3)
        np.testing.assert_array_equal(result.image[:, :, c], single.image)
        assert np.asarray(result.energy)[c] == single.energy
        assert np.asarray(result.lower_bound)[c] == single.lower_bound
    assert result.gap is not None
    assert 0 <= result.gap < 1


def test_shape_of_the_input_is_kept() -> None:
    image = noisy(steps(), 10)[:, :, np.newaxis]
    assert restore.denoise(image, weight=1.0).image.shape == image.shape


def test_fewer_levels_solve_nearly_the_same_energy() -> None:
    image = noisy(steps(), 12)
    full = restore.denoise(image, sigma=12)
    coarse = restore.denoise(image, sigma=12, levels=52)  # every fifth grey value
    assert set(np.unique(coarse.image)) <= set(range(0, 256, 5))
    assert isinstance(coarse.energy, float)
    known = np.ones(image.shape, bool)
    assert coarse.energy == pytest.approx(
        energy_by_definition(image, coarse.image, known, full.weight, 500), rel=1e-5
    )
    assert rms(coarse.image, full.image) < 4


def test_no_noise_no_change() -> None:
    image = noisy(steps(), 20)
    np.testing.assert_array_equal(restore.denoise(image, sigma=0).image, image)
    np.testing.assert_array_equal(restore.denoise(image, weight=0).image, image)
    flat = restore.denoise(steps())
    assert flat.sigma == 0
    np.testing.assert_array_equal(flat.image, steps())


def test_holes_are_filled_while_denoising() -> None:
    clean = steps()
    image, mask = noisy(clean, 10), np.ones(clean.shape, np.uint8)
    image[3:8, 4:9], mask[3:8, 4:9] = 255, 0
    result = restore.denoise(image, sigma=10, mask=mask)
    assert rms(result.image[3:8, 4:9], clean[3:8, 4:9]) < 12


def test_inpaint_changes_holes_only() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    mask = np.ones((20, 30), bool)
    mask[4:9, 5:14] = mask[15, 20:] = False
    result = restore.inpaint(image, mask, iterations=5)
    np.testing.assert_array_equal(result.image[mask], image[mask])
    assert (result.image[~mask] != image[~mask]).any()


@pytest.mark.parametrize("connectivity", [4, 8, 16])
def test_inpaint_solves_the_rectangle_around_the_holes(connectivity: int) -> None:
    """The same holes come out of the whole image, known pixels fixed by infinite costs."""
    rng = np.random.default_rng(1)
    image = (rng.integers(0, 8, (14, 17)) * 36).astype(np.uint8)
    mask = np.ones(image.shape, bool)
    mask[6, 8] = mask[7, 8:10] = False
    result = restore.inpaint(image, mask, connectivity=connectivity, levels=8, iterations=30)
    grey = np.linspace(0, 255, 8)
    best = brute_force(image, mask, connectivity, grey)
    assert hole_energy(result.image, mask, connectivity, grey) == pytest.approx(
        hole_energy(best, mask, connectivity, grey), rel=0.02
    )


PAIRS = [(0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1), (1, -2)]


def hole_energy(image: Array, mask: Array, connectivity: int, grey: Array) -> float:
    """Sum over edges with an end in a hole, pixels on the nearest level."""
    x = grey[np.abs(image[:, :, np.newaxis] - grey).argmin(axis=2)]
    total = 0.0
    for dy, dx in PAIRS[: connectivity // 2]:
        for y in range(image.shape[0]):
            for c in range(image.shape[1]):
                qy, qx = y + dy, c + dx
                inside = 0 <= qy < image.shape[0] and 0 <= qx < image.shape[1]
                if inside and not (mask[y, c] and mask[qy, qx]):
                    total += min((x[y, c] - x[qy, qx]) ** 2, 500)
    return total


def brute_force(image: Array, mask: Array, connectivity: int, grey: Array) -> Array:
    best, lowest = image, np.inf
    holes = np.argwhere(~mask)
    window = (slice(holes[:, 0].min() - 2, holes[:, 0].max() + 3),
              slice(holes[:, 1].min() - 2, holes[:, 1].max() + 3))  # fmt: skip
    for values in np.ndindex(*[len(grey)] * len(holes)):
        trial = image.astype(float)
        trial[~mask] = grey[list(values)]
        energy = hole_energy(trial[window], mask[window], connectivity, grey)
        if energy < lowest:
            best, lowest = trial, energy
    return best


def test_inpaint_interpolates_a_ramp() -> None:
    ramp = np.tile(np.arange(40, 80, 2, dtype=np.uint8), (10, 1))
    mask = np.ones(ramp.shape, bool)
    mask[:, 8:12] = False
    broken = np.where(mask, ramp, 0).astype(np.uint8)
    result = restore.inpaint(broken, mask)
    assert np.abs(result.image.astype(int) - ramp).max() <= 2


def test_inpaint_without_holes() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (5, 6, 3))
    result = restore.inpaint(image, np.ones((5, 6)))
    np.testing.assert_array_equal(result.image, np.rint(image))
    assert result.energy == 0
    assert result.iterations == 0


@pytest.mark.parametrize("sigma", [5, 20, 60])
def test_noise_is_estimated(sigma: float) -> None:
    ramp = np.add.outer(np.arange(90), np.arange(110)).astype(float)
    image = ramp + np.random.default_rng(2).normal(0, sigma, ramp.shape)
    assert restore.estimate_sigma(image) == pytest.approx(sigma, rel=0.05)
    mask = np.ones(ramp.shape)
    image[30:50, 20:90], mask[30:50, 20:90] = np.random.default_rng(3).uniform(0, 255, (20, 70)), 0
    assert restore.estimate_sigma(image, mask) == pytest.approx(sigma, rel=0.05)


def test_callback_names_the_channel() -> None:
    image = np.stack([noisy(steps(), 5, i) for i in range(3)], axis=2)
    seen: list[tuple[int, int]] = []
    restore.denoise(
        image, weight=1.0, levels=32, iterations=2,
        callback=lambda progress: seen.append((progress.item, progress.iteration)),
    )  # fmt: skip
    assert seen == [(c, i) for c in range(3) for i in (1, 2)]


def test_other_potentials_act_on_labels() -> None:
    image = noisy(steps(), 12)
    result = restore.denoise(image, weight=300.0, potential=mrfcore.Potts(), levels=64)
    direct = mrfcore.minimize(
        (image[:, :, np.newaxis] - np.linspace(0, 255, 64, dtype=np.float32)) ** 2,
        mrfcore.Potts(), 300.0, iterations=5,
    )  # fmt: skip
    assert result.energy == direct.energy


IMAGE = noisy(steps(6, 8), 5)
VALUE_ERRORS: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    "rank": (("image", shape(8)), lambda: restore.denoise(IMAGE[0])),
    "channels": (("image", shape(6, 8, 2)), lambda: restore.denoise(np.zeros((6, 8, 2)))),
    "empty": (("image", shape(0, 8)), lambda: restore.denoise(IMAGE[:0])),
    "nan": (("image", "finite"), lambda: restore.denoise(np.full((4, 4), np.nan))),
    "sigma": (("sigma", "-1"), lambda: restore.denoise(IMAGE, sigma=-1)),
    "weight": (("weight", "inf"), lambda: restore.denoise(IMAGE, weight=np.inf)),
    "both": (("weight", "sigma"), lambda: restore.denoise(IMAGE, sigma=1, weight=1)),
    "truncation": (("truncation", "-3"), lambda: restore.denoise(IMAGE, truncation=-3)),
    "levels": (("levels", "1"), lambda: restore.denoise(IMAGE, levels=1)),
    "more levels": (("levels", "257"), lambda: restore.inpaint(IMAGE, IMAGE, levels=257)),
    "mask": (("mask", shape(6, 8), shape(6, 7)), lambda: restore.inpaint(IMAGE, IMAGE[:, 1:])),
    "no pixel": (("mask", "known"), lambda: restore.denoise(IMAGE, mask=np.zeros((6, 8)))),
    "too small": (("sigma", "2 x 8"), lambda: restore.denoise(IMAGE[:2])),
    "all holes": (
        ("sigma", "hole"),
        lambda: restore.denoise(IMAGE, mask=np.indices((6, 8)).sum(0) % 2),
    ),
    "solver": (("solver",), lambda: restore.denoise(IMAGE, solver="none")),
}
TYPE_ERRORS: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    "uint16": (("image", "uint16"), lambda: restore.denoise(IMAGE.astype(np.uint16))),
    "text": (("image", "str"), lambda: restore.denoise("a.png")),
    "sigma": (("sigma", "str"), lambda: restore.denoise(IMAGE, sigma="1")),
    "levels": (("levels", "float"), lambda: restore.denoise(IMAGE, levels=16.0)),
    "no mask": (("mask", "NoneType"), lambda: restore.inpaint(IMAGE, None)),
    "option": (("head",), lambda: restore.denoise(IMAGE, head="zero")),
}


@pytest.mark.parametrize("case", VALUE_ERRORS)
def test_wrong_values_are_refused(case: str) -> None:
    assert_refused(ValueError, *VALUE_ERRORS[case])


@pytest.mark.parametrize("case", TYPE_ERRORS)
def test_wrong_types_are_refused(case: str) -> None:
    assert_refused(TypeError, *TYPE_ERRORS[case])


@pytest.mark.parametrize("work", [restore.denoise, restore.estimate_sigma])
def test_unit_scale_is_refused(work: Callable[..., Any]) -> None:
    image = np.random.default_rng(0).random((8, 8))
    with pytest.raises(ValueError, match=r"image: expected float pixels on the 0\.\.255 scale"):
        work(image)
    with pytest.raises(ValueError, match="multiply by 255"):
        restore.inpaint(image, image > 0.5)
