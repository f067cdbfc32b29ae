# SPDX-License-Identifier: Apache-2.0
"""The twelve problems of Tables 3.1 to 3.3: their images, and the energy minimised on them.

The text names the images and the number of labels and leaves the data term open. It is the
Birchfield-Tomasi cost of the Middlebury MRF benchmark in integers, without truncation; truncations
and weights below are those with which every TRW-S cell of the tables comes out to the last digit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mrfcore import TruncatedLinear, TruncatedQuadratic
from mrfcore.stereo import cost_volume

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Problem:
    """Unary ``[H, W, L]`` float32 with integer values, and ``weight * V`` on every edge."""

    unary: FloatArray
    pairwise: TruncatedLinear | TruncatedQuadratic
    weight: float


@dataclass(frozen=True)
class Instance:
    """One column group of a table.

    Attributes:
        title: the name as printed.
        files: left and right image, or noisy image and mask (0 = missing), below the data folder.
        labels: number of labels L.
        pairwise: V.
        weight: the constant edge weight.
        unary_sum: sum of the whole unary; a different value means different images.
    """

    title: str
    files: tuple[str, str]
    labels: int
    pairwise: TruncatedLinear | TruncatedQuadratic
    weight: float
    unary_sum: int

    @property
    def is_stereo(self) -> bool:
        """Whether the two files are a stereo pair (else an image and its mask)."""
        return "denoise" not in self.files[0]

    def paths(self, data: Path) -> tuple[Path, Path]:
        """Both files below ``data``."""
        return data / self.files[0], data / self.files[1]

    def is_there(self, data: Path) -> bool:
        """Whether both files exist below ``data``."""
        return all(path.is_file() for path in self.paths(data))

    def load(self, data: Path) -> Problem:
        """Read the images and build the data term.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: the images are not those of the table.
        """
        first, second = (_read(path) for path in self.paths(data))
        unary = (
            _stereo_unary(first, second, self.labels)
            if self.is_stereo
            else _denoise_unary(first, second)
        )
        total = int(unary.sum(dtype=np.float64))
        if total != self.unary_sum:
            raise ValueError(
                f"{data / self.files[0]}: the data term sums to {total}, expected "
                f"{self.unary_sum}; these are not the images of the table"
            )
        return Problem(unary, self.pairwise, self.weight)


def _read(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.uint8)


def _stereo_unary(
    left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8], labels: int
) -> FloatArray:
    cost = cost_volume(left, right, labels, cost="birchfield_tomasi")
    return np.ascontiguousarray(cost, dtype=np.float32)


def _denoise_unary(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> FloatArray:
    """(I - l)^2 for l = 0..255, and 0 where the mask is 0."""
    difference = image.astype(np.float32)[:, :, None] - np.arange(256, dtype=np.float32)
    return np.where((mask == 0)[:, :, None], np.float32(0), difference * difference)


def _middlebury(name: str, suffix: str = "ppm") -> tuple[str, str]:
    return f"middlebury/{name}/imL.{suffix}", f"middlebury/{name}/imR.{suffix}"


def _kitti(name: str) -> tuple[str, str]:
    return f"kitti2015/image_2/{name}.png", f"kitti2015/image_3/{name}.png"


def _eth3d(name: str) -> tuple[str, str]:
    return f"eth3d/training/{name}/im0.png", f"eth3d/training/{name}/im1.png"


def _denoise(name: str) -> tuple[str, str]:
    return (
        f"middlebury_mrf/denoise/{name}-input.png",
        f"middlebury_mrf/denoise/{name}-mask.png",
    )


_lin, _quad = TruncatedLinear, TruncatedQuadratic

INSTANCES: dict[str, Instance] = {
    "tsukuba": Instance("Tsukuba", _middlebury("tsukuba"), 16, _lin(2), 20, 78196440),
    "teddy": Instance("Teddy", _middlebury("teddy"), 60, _lin(1), 10, 1146071006),
    "venus": Instance("Venus", _middlebury("venus"), 20, _quad(49), 50, 152035793),
    "cones": Instance("Cones", _middlebury("cones"), 55, _lin(8), 10, 1098343867),
    "map": Instance("Map", _middlebury("map", "pgm"), 29, _lin(6), 4, 59934116),
    "000002_11": Instance("000002_11", _kitti("000002_11"), 96, _lin(95), 10, 4931158515),
    "000041_10": Instance("000041_10", _kitti("000041_10"), 96, _lin(95), 10, 3814674508),
    "000119_10": Instance("000119_10", _kitti("000119_10"), 96, _lin(95), 10, 5212659148),
    "delivery_area_1l": Instance(
        "Delivery_area_1l", _eth3d("delivery_area_1l"), 32, _lin(31), 10, 551702376
    ),
    "facade_1s": Instance("Facade_1s", _eth3d("facade_1s"), 32, _lin(31), 10, 705397080),
    "penguin": Instance("Penguin", _denoise("penguin"), 256, _quad(200), 25, 45972537984),
    "house": Instance("House", _denoise("house"), 256, _quad(math.inf), 5, 98519671168),
}

# The TRW-S row of Venus was run with another V than all other rows of that column.
VENUS_OF_TRWS = Instance("Venus", _middlebury("venus"), 20, _lin(7), 50, 152035793)
