# SPDX-License-Identifier: Apache-2.0
"""Images cut into regions, and clicks into them: the task of segment_refine.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_MOST = 8  # regions that are kept of a segmentation, the largest ones
_SMALLEST = 0.005  # share of the image below which a region is left out
_COVERED = 0.85  # share of the image that the kept regions must have
_INSIDE = 2  # pixels between a click and the region's border, where it has such pixels

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and its regions."""

    image: npt.NDArray[np.uint8]
    """[H, W, 3]."""
    regions: Labels
    """[H, W], 0 .. count - 1; -1 where a region was left out."""
    name: str

    @property
    def count(self) -> int:
        """Number of regions."""
        return int(self.regions.max()) + 1


def bsds(folder: Path) -> dict[str, list[Scene]]:
    """BSDS500 (Arbelaez et al. 2011) at half size: for each image the segmentations of its people.

    Raises:
        FileNotFoundError: no `bsds500/groundTruth/*.mat` in `folder`.
        ImportError: no SciPy, which reads them.
    """
    from scipy.io import loadmat

    found: dict[str, list[Scene]] = {}
    for path in sorted((folder / "bsds500" / "groundTruth").glob("*.mat")):
        with Image.open(folder / "bsds500" / "images" / f"{path.stem}.jpg") as file:
            image = np.asarray(file.convert("RGB").reduce(2))
        people: Any = loadmat(path)["groundTruth"][0]
        scenes = []
        for person in people:
            regions = largest(person["Segmentation"][0, 0][::2, ::2].astype(np.int64))
            if regions.max() >= 1 and (regions >= 0).mean() >= _COVERED:
                scenes.append(Scene(image, regions, path.stem))
        if scenes:
            found[path.stem] = scenes
    if not found:
        raise FileNotFoundError(f"no bsds500/groundTruth/*.mat with regions in {folder}")
    return found


def largest(segmentation: Labels) -> Labels:
    """Number the largest regions 0, 1, ... by size; -1 elsewhere."""
    values, sizes = np.unique(segmentation, return_counts=True)
    kept = list(np.argsort(-sizes, kind="stable")[:_MOST])
    kept = [i for i in kept if sizes[i] >= _SMALLEST * segmentation.size]
    regions = np.full(segmentation.shape, -1, np.int64)
    for number, i in enumerate(kept):
        regions[segmentation == values[i]] = number
    return regions


def painted(seed: int, height: int = 120, width: int = 160, count: int = 5) -> Scene:
    """A synthetic scene: regions with ragged borders, similar colours, shading and noise."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)

    def field(scale: float) -> npt.NDArray[np.float64]:
        """Smooth noise of standard deviation 1."""
        noise = gaussian_filter(random.standard_normal((height, width)), scale, mode="reflect")
        return np.asarray((noise - noise.mean()) / noise.std())

    height_maps = [field(18.0) + 0.30 * field(3.0) + 0.10 * field(1.0) for _ in range(count)]
    regions = largest(np.argmax(height_maps, axis=0))
    colours = 128.0 + 28.0 * random.standard_normal((count, 3))
    grain = np.stack([10.0 * field(0.7 + 0.5 * number) for number in range(count)])
    image = colours[regions] * (1.0 + 0.08 * field(30.0))[..., None]
    image += np.take_along_axis(grain, np.maximum(regions, 0)[None], axis=0)[0][..., None]
    image += 20.0 * random.standard_normal((height, width, 3))
    return Scene(np.clip(image, 0, 255).astype(np.uint8), regions, f"painted {seed}")


def clicks(scene: Scene, per_region: int, random: np.random.Generator) -> Labels:
    """[N, 3]: rows (y, x, region), `per_region` in each region, off its border where it can be."""
    rows = []
    inside = _off_border(scene.regions)
    for region in range(scene.count):
        pixels = np.argwhere((scene.regions == region) & inside)
        if not len(pixels):
            pixels = np.argwhere(scene.regions == region)
        for y, x in pixels[random.integers(len(pixels), size=per_region)]:
            rows.append((y, x, region))
    return np.array(rows, np.int64)


def _off_border(regions: Labels) -> npt.NDArray[np.bool_]:
    """Pixels all of whose neighbours within _INSIDE rows or columns are of their region."""
    height, width = regions.shape
    around = np.pad(regions, _INSIDE, mode="edge")
    result = np.ones(regions.shape, bool)
    for dy in range(2 * _INSIDE + 1):
        for dx in range(2 * _INSIDE + 1):
            result &= around[dy : dy + height, dx : dx + width] == regions
    return result


def mean_iou(found: Labels, scene: Scene) -> float:
    """Intersection over union, mean over the regions of a scene; pixels left out do not count."""
    counts = scene.regions >= 0
    shares = []
    for region in range(scene.count):
        ours, theirs = (found == region) & counts, scene.regions == region
        shares.append((ours & theirs).sum() / (ours | theirs).sum())
    return float(np.mean(shares))


def split(
    names: Sequence[str], held_out: int, random: np.random.Generator
) -> tuple[list[str], list[str]]:
    """(to learn from, held out), at random."""
    order = [names[i] for i in random.permutation(len(names))]
    return sorted(order[held_out:]), sorted(order[:held_out])
