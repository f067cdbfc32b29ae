# SPDX-License-Identifier: Apache-2.0
"""Labelled scenes as a data set: nothing to download."""

from __future__ import annotations

from typing import Any

from PIL import Image

from mrfcore._labelled_scene import class_names, labelled_scene
from mrfcore._scalars import _integer
from mrfcore.datasets.segmentation import SegmentationDataset, Transform, Transforms
from mrfcore.datasets.segmentation_files import label_image

__all__ = ["LabelledScenes"]


class LabelledScenes(SegmentationDataset):
    """`mrfcore.scene.labelled_scene` of the seeds `seed` .. `seed + count - 1`.

    Items are those of the other segmentation data sets. Scenes are drawn when they are asked for,
    in some hundredths of a second, and are the same every time. Sets whose seeds do not overlap
    share no scene: `LabelledScenes(200)` and `LabelledScenes(50, seed=1000)`.

    Args:
        count: number of scenes, >= 1.
        seed: of the first one.
        height: rows, see `labelled_scene`, as the next ones.
        width: columns.
        num_labels: background and classes.
        objects: how many are drawn.
        void_band: width of void along boundaries.
        transform: see `SegmentationDataset`.
        target_transform: see `SegmentationDataset`.
        transforms: see `SegmentationDataset`.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        height: int = 128,
        width: int = 128,
        num_labels: int = 6,
        objects: int | None = None,
        void_band: int = 0,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transforms | None = None,
    ) -> None:
        super().__init__(".", transform, target_transform, transforms)
        self.count, self.seed = _integer("count", count), _integer("seed", seed)
        if self.count < 1:
            raise ValueError(f"count: expected a number >= 1, got {count}")
        _integer("seed + count", self.seed + self.count)
        self._arguments: dict[str, Any] = {
            "height": height,
            "width": width,
            "num_labels": num_labels,
            "objects": objects,
            "void_band": void_band,
        }
        labelled_scene(self.seed, **self._arguments)  # refuses bad arguments now, not in a worker
        self.num_labels = int(num_labels)
        self.classes = class_names(self.num_labels)

    @property
    def names(self) -> list[str]:
        """Names of the scenes: "scene <seed>"."""
        return [f"scene {self.seed + number}" for number in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def _load(self, index: int) -> tuple[Any, Any]:
        scene = labelled_scene(self.seed + index, **self._arguments)
        return Image.fromarray(scene.image), label_image(scene.labels)
