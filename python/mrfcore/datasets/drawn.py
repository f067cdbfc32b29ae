# SPDX-License-Identifier: Apache-2.0
"""Data sets that are drawn from seeds: volumes with parts or tumours, clips, stereo pairs.

Items are those of the data sets from files. They are drawn when they are asked for and the same
every time; sets whose seeds do not overlap share none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from mrfcore._labelled_volumes import PART_CATEGORIES, part_volume
from mrfcore._moving_textures import clip_class_names, moving_texture
from mrfcore._scalars import _integer
from mrfcore._tumour_volumes import tumour_volume
from mrfcore.datasets.brats import BRATS_REGIONS
from mrfcore.datasets.clips import Clip, ClipDataset
from mrfcore.datasets.pair import StereoPair
from mrfcore.datasets.segmentation import Transform, Transforms
from mrfcore.datasets.stereo import Item, StereoMatchingDataset
from mrfcore.datasets.stereo import Transforms as StereoTransforms
from mrfcore.datasets.volumes import VolumeDataset, zscored

__all__ = ["MovingTextures", "PartVolumes", "RenderedStereo", "TumourVolumes"]


def _seeds(count: object, seed: object) -> range:
    """The seeds of the items."""
    number, first = _integer("count", count), _integer("seed", seed)
    if number < 1:
        raise ValueError(f"count: expected a number >= 1, got {number}")
    _integer("seed + count", first + number)
    return range(first, first + number)


class _DrawnVolumes(VolumeDataset):
    """Volumes of consecutive seeds."""

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        size: int = 32,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transforms | None = None,
    ) -> None:
        super().__init__(".", transform, target_transform, transforms)
        self.seeds, self.size = _seeds(count, seed), size
        self._load(0)  # refuses bad arguments now, not in a worker

    @property
    def names(self) -> list[str]:
        """Names of the volumes: "volume <seed>"."""
        return [f"volume {seed}" for seed in self.seeds]

    def __len__(self) -> int:
        return len(self.seeds)


class PartVolumes(_DrawnVolumes):
    """`mrfcore.scene.part_volume` of the seeds `seed` .. `seed + count - 1`.

    Items are those of `ShapeNetParts`: float32 `[1, S, S, S]`, 1 on a thing's surface, and int64
    `[S, S, S]`: 18 parts of 7 categories, 255 where there is nothing.

    Args:
        count: number of volumes, >= 1.
        seed: of the first one.
        size: S, 24 to 256.
        transform: see `VolumeDataset`, as the next two.
        target_transform: called with the labels.
        transforms: called with both.

    Attributes:
        parts: labels of each category, a range by name.
        item_categories: the category of each item.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    num_labels = sum(len(parts) for parts in PART_CATEGORIES.values())
    classes = tuple(f"{c} {part}" for c, parts in PART_CATEGORIES.items() for part in parts)

    @property
    def parts(self) -> dict[str, range]:
        """Labels of each category."""
        ends = np.cumsum([len(parts) for parts in PART_CATEGORIES.values()]).tolist()
        return {
            name: range(end - len(parts), end)
            for (name, parts), end in zip(PART_CATEGORIES.items(), ends, strict=True)
        }

    @property
    def item_categories(self) -> list[str]:
        """The category of each item."""
        names = list(PART_CATEGORIES)
        return [names[seed % len(names)] for seed in self.seeds]

    def _load(self, index: int) -> tuple[Any, Any]:
        thing = part_volume(self.seeds[index], self.size)
        return thing.volume, thing.labels.astype(np.int64)


class TumourVolumes(_DrawnVolumes):
    """`mrfcore.scene.tumour_volume` of the seeds `seed` .. `seed + count - 1`.

    Items are those of `BraTS18`: float32 `[4, S, S, S]`, FLAIR, T1, T1ce and T2, each with mean 0
    and standard deviation 1 over its brain, and int64 `[S, S, S]`: 0, 1, 2 and 4, which is 5
    labels, one of them unused.

    Args:
        count: number of volumes, >= 1.
        seed: of the first one.
        size: S, 16 to 256.
        transform: see `VolumeDataset`, as the next two.
        target_transform: called with the labels.
        transforms: called with both.

    Attributes:
        regions: labels of the regions scored, ET, TC and WT.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    num_labels = 5
    classes = ("background", "necrosis", "oedema", "unused", "enhancing rim")
    regions = BRATS_REGIONS

    def _load(self, index: int) -> tuple[Any, Any]:
        head = tumour_volume(self.seeds[index], self.size)
        return zscored(head.volume), head.labels.astype(np.int64)


class MovingTextures(ClipDataset):
    """`mrfcore.scene.moving_texture` of the seeds `seed` .. `seed + count - 1`.

    Items are those of `UCF101`: uint8 RGB `[T, H, W, 3]` and a class, seed mod num_labels.

    Args:
        count: number of clips, >= 1.
        seed: of the first one.
        frames: T, 2 to 256.
        height: rows, 16 to 1024.
        width: columns, 16 to 1024.
        num_labels: classes, 2 to 32.
        transform: called with the clip, see `mrfcore.datasets.clip_transforms`.
        target_transform: called with the class.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        num_labels: int = 8,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        super().__init__(transform, target_transform)
        self.seeds = _seeds(count, seed)
        self._arguments = {
            "frames": frames, "height": height, "width": width, "num_labels": num_labels,
        }  # fmt: skip
        self._load(0)
        self.classes = clip_class_names(int(num_labels))
        self.labels = [number % int(num_labels) for number in self.seeds]

    @property
    def names(self) -> list[str]:
        """Names of the clips: "clip <seed>"."""
        return [f"clip {seed}" for seed in self.seeds]

    def _load(self, index: int) -> tuple[Clip, int]:
        drawn = moving_texture(self.seeds[index], **self._arguments)
        return drawn.clip, drawn.label


class RenderedStereo(StereoMatchingDataset):
    """`mrfcore.scene.render_stereo_scene` of the seeds `seed` .. `seed + count - 1`.

    Items are those of the other stereo data sets: two RGB PIL images, disparities of the left one
    float32 `[1, H, W]` and a bool mask `[H, W]`, here True everywhere. `pair(i).nonocc` says which
    pixels both views show. Pairs take some tenths of a second and are kept once they are drawn.

    Args:
        count: number of pairs, >= 1.
        seed: of the first one.
        height: rows, see `render_stereo_scene`, as the next ones.
        width: columns.
        max_disparity: disparities are 0 .. max_disparity - 1.
        transforms: as torchvision's, see `mrfcore.datasets.stereo_transforms`.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        height: int = 128,
        width: int = 256,
        max_disparity: int = 48,
        transforms: StereoTransforms | None = None,
    ) -> None:
        super().__init__(".", transforms)
        self.seeds = _seeds(count, seed)
        self._arguments = {"height": height, "width": width, "max_disparity": max_disparity}
        self._drawn: dict[int, StereoPair] = {}
        self.pair(0)

    @property
    def names(self) -> list[str]:
        """Names of the pairs: "pair <seed>"."""
        return [f"pair {seed}" for seed in self.seeds]

    def __len__(self) -> int:
        return len(self.seeds)

    def pair(self, index: int) -> StereoPair:
        """The scene as NumPy arrays, with the mask of pixels that both views show."""
        from mrfcore.scene import render_stereo_scene  # it imports the data sets' pair

        seed = self.seeds[index]
        if seed not in self._drawn:
            self._drawn[seed] = render_stereo_scene(seed=seed, **self._arguments)
        return self._drawn[seed]

    def __getitem__(self, index: int) -> Item:
        """The item `(left, right, disparity, valid_mask)`."""
        pair = self.pair(index)
        images: Any = (Image.fromarray(pair.left), Image.fromarray(pair.right))
        assert pair.disparity is not None
        assert pair.valid is not None
        disparities: Any = (pair.disparity[None].copy(), None)  # what is kept stays as it is
        masks: Any = (pair.valid.copy(), None)
        if self.transforms is not None:
            images, disparities, masks = self.transforms(images, disparities, masks)
        return images[0], images[1], disparities[0], masks[0]
