# SPDX-License-Identifier: Apache-2.0
"""The benchmark instances of the literature, built in NumPy from a local copy of the images.

Birchfield-Tomasi costs are integers, as in the Middlebury MRF comparison (Szeliski et al. 2008);
nothing here uses the library under test, so its own data terms can be checked against it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from reference import truncated_linear, truncated_quadratic

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Instance:
    """Where the images lie and which energy is meant. Weights are constant unless noted."""

    left: str
    right: str  # for denoising: the mask
    num_labels: int
    potential: str  # "linear" | "quadratic"
    truncation: float
    weight: float
    grey: bool = False
    squared: bool = False  # squared BT difference
    cap: int | None = None  # data cost at most this, all channels together
    gradient: tuple[float, float] | None = None  # RMS threshold, factor below it

    @property
    def table(self) -> npt.NDArray[np.float64]:
        make = truncated_linear if self.potential == "linear" else truncated_quadratic
        return self.weight * make(self.num_labels, self.truncation)


def _pair(scene: str, suffix: str = "ppm") -> tuple[str, str]:
    return f"middlebury/{scene}/imL.{suffix}", f"middlebury/{scene}/imR.{suffix}"


def _kitti(name: str) -> Instance:
    folder = "kitti2015/image_{}/" + name + ".png"
    return Instance(folder.format(2), folder.format(3), 96, "linear", 95, 10)


def _eth3d(name: str) -> Instance:
    folder = f"eth3d/training/{name}/im"
    return Instance(folder + "0.png", folder + "1.png", 32, "linear", 31, 10)


def _noisy(name: str, truncation: float, weight: float) -> Instance:
    folder = f"middlebury_mrf/denoise/{name}"
    images = (f"{folder}-input.png", f"{folder}-mask.png")
    return Instance(*images, 256, "quadratic", truncation, weight, grey=True)


INSTANCES = {
    "tsukuba": Instance(*_pair("tsukuba"), 16, "linear", 2, 20),
    "teddy": Instance(*_pair("teddy"), 60, "linear", 1, 10),
    "venus_TL": Instance(*_pair("venus"), 20, "linear", 7, 50),
    "venus_TQ": Instance(*_pair("venus"), 20, "quadratic", 49, 50),
    "cones": Instance(*_pair("cones"), 55, "linear", 8, 10),
    "map": Instance(*_pair("map", "pgm"), 29, "linear", 6, 4, grey=True),
    "000002_11": _kitti("000002_11"),
    "000041_10": _kitti("000041_10"),
    "000119_10": _kitti("000119_10"),
    "delivery_area_1l": _eth3d("delivery_area_1l"),
    "facade_1s": _eth3d("facade_1s"),
    "penguin": _noisy("penguin", 200, 25),
    "house": _noisy("house", np.inf, 5),
    "mb_tsukuba": Instance(*_pair("tsukuba"), 16, "linear", 2, 20, gradient=(8, 2)),
    "mb_venus": Instance(*_pair("venus"), 20, "quadratic", 7, 50, squared=True, cap=256),
    "mb_teddy": Instance(*_pair("teddy"), 60, "linear", 1, 10, cap=48, gradient=(10, 3)),
}


def read_image(path: Path, grey: bool) -> Ints:
    """[H, W, C] integers."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L" if grey else "RGB"), np.int32)
    return pixels[..., None] if grey else pixels


def _interval(image: Ints) -> tuple[Ints, Ints]:
    """Least and greatest value within half a pixel along the row; whole numbers, rounded down."""
    left, right = image.copy(), image.copy()
    left[:, 1:] = (image[:, 1:] + image[:, :-1]) >> 1
    right[:, :-1] = left[:, 1:]
    every = np.stack([image, left, right])
    return every.min(0), every.max(0)


def birchfield_tomasi(
    left: Ints, right: Ints, num_labels: int, squared: bool = False, cap: int | None = None
) -> Ints:
    """[H, W, L] data cost; the left image is the reference, x < d costs the most there is."""
    height, width, channels = left.shape
    largest = 255 * channels if cap is None else cap
    low_l, high_l = _interval(left)
    low_r, high_r = _interval(right)
    cost = np.full((height, width, num_labels), largest, np.int32)
    for d in range(min(num_labels, width)):
        here, there = np.s_[:, d:], np.s_[:, : width - d]
        a = np.maximum(0, np.maximum(left[here] - high_r[there], low_r[there] - left[here]))
        b = np.maximum(0, np.maximum(right[there] - high_l[here], low_l[here] - right[there]))
        difference = np.minimum(a, b) ** (2 if squared else 1)
        cost[:, d:, d] = np.minimum(difference.sum(2), largest)
    return cost


def gradient_weights(image: Ints, threshold: float, factor: float) -> npt.NDArray[np.float64]:
    """[2, H, W]: ``factor`` where the RMS over channels of the step is below the threshold."""
    weights = np.ones((2, *image.shape[:2]))
    for pair, axis in enumerate((1, 0)):
        step = (np.diff(image, axis=axis) ** 2).mean(2)
        inner = (pair, slice(0, step.shape[0]), slice(0, step.shape[1]))
        weights[inner] = np.where(step < threshold**2, factor, 1.0)
    return weights


def build(instance: Instance, data: Path) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Integer unary [H, W, L] and weights [2, H, W]."""
    first = read_image(data / instance.left, instance.grey)
    second = read_image(data / instance.right, instance.grey)
    weights = np.ones((2, *first.shape[:2]))
    if "denoise" in instance.left:
        unary = (first - np.arange(instance.num_labels, dtype=np.int32)) ** 2 * (second != 0)
        return unary, weights
    unary = birchfield_tomasi(first, second, instance.num_labels, instance.squared, instance.cap)
    if instance.gradient is not None:
        weights = gradient_weights(first, *instance.gradient)
    return unary, weights


def checksum(unary: Ints) -> str:
    """SHA-256 of the unary as little-endian 32-bit integers."""
    return hashlib.sha256(unary.astype("<i4").tobytes()).hexdigest()
