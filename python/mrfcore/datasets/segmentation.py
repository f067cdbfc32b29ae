# SPDX-License-Identifier: Apache-2.0
"""Segmentation data sets under torchvision's arguments and items, without torch.

An item is `(image, labels)`: an RGB PIL image, and a palette ("P") PIL image of the same size whose
pixel values are label numbers, `np.asarray(labels)` uint8 `[H, W]`. Labels are 0 .. num_labels - 1;
`void`, 255, marks pixels that do not count. The folders expected are in
docs/segmentation_data.md; joint transforms in `mrfcore.datasets.segmentation_transforms`.

Here are the base class and ADE20K; VOC and Context, BSDS500 and scenes are in the files beside.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mrfcore._files import PathLike
from mrfcore._scalars import _choice, _flag
from mrfcore.datasets import download as dl
from mrfcore.datasets.layouts import first_folder
from mrfcore.datasets.segmentation_files import (
    by_name,
    label_image,
    paired,
    read_labels,
    read_rgb,
    require_size,
    table,
)

__all__ = ["ADE20K", "SegmentationDataset", "Transform", "Transforms"]

Transform = Callable[[Any], Any]
Transforms = Callable[[Any, Any], tuple[Any, Any]]

_ADE_ARCHIVE = "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"
_ADE_CHECKSUM = "sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7"  # published by GluonCV


class SegmentationDataset:
    """Images with a label for each pixel.

    Subclasses fill `images` and `masks`, and say how stored numbers become labels.

    Args:
        root: folder the data set lies in.
        transform: called with the image.
        target_transform: called with the labels.
        transforms: called with image and labels, returns both; not together with the other two.

    Attributes:
        images: files of the images, in order.
        masks: files of the labels, in order.
        num_labels: number of labels, void not counted; None where labels are not classes.
        classes: their names, by label; empty where unknown.
        void: the label of pixels that do not count.
        reduce_zero_label: whether stored 0 is void and stored k is label k - 1.

    Raises:
        ValueError: both `transforms` and one of the other two.
    """

    num_labels: int | None = None
    classes: tuple[str, ...] = ()
    void: int = 255
    reduce_zero_label: bool = False

    def __init__(
        self,
        root: PathLike,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transforms | None = None,
    ) -> None:
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError(
                "transforms: expected None together with transform or target_transform; give one "
                "joint function or separate ones"
            )
        named = {"transform": transform, "target_transform": target_transform}
        for name, one in {**named, "transforms": transforms}.items():
            if one is not None and not callable(one):
                raise TypeError(f"{name}: expected a function, got {type(one).__name__}")
        self.root = Path(root)
        self.transform, self.target_transform = transform, target_transform
        self.transforms = transforms
        self.images: list[Path] = []
        self.masks: list[Path] = []

    @property
    def names(self) -> list[str]:
        """Names of the images, in order."""
        return [path.stem for path in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The item `(image, labels)`, transformed; negative numbers count from the end.

        Raises:
            IndexError: no such image.
            FileNotFoundError: a file has gone.
            ValueError: an unreadable file, numbers that are no labels, sizes that differ.
        """
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(
                f"index {number} is out of range for the {len(self)} items of {type(self).__name__}"
            )
        image, labels = self._load(number % len(self))
        if self.transforms is not None:
            return self.transforms(image, labels)
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            labels = self.target_transform(labels)
        return image, labels

    def _load(self, index: int) -> tuple[Any, Any]:
        """One item before transforms."""
        image = read_rgb(self.images[index])
        becomes = table(self.num_labels or 0, self.void, first_is_void=self.reduce_zero_label)
        labels = label_image(read_labels(self.masks[index], becomes))
        require_size(self.masks[index], labels.size, self.images[index], image.size)
        return image, labels

    def _take(self, pairs: list[tuple[Path, Path]]) -> None:
        self.images = [image for image, _ in pairs]
        self.masks = [labels for _, labels in pairs]


class ADE20K(SegmentationDataset):
    """ADE20K as the scene parsing challenge of 2016 has it: 150 classes.

    Files lie in `root/ADEChallengeData2016` or `root`: images/{training,validation}/*.jpg and
    annotations/{training,validation}/*.png. Stored numbers are 0 (other) and 1 to 150.

    Args:
        root: where to look.
        image_set: "train" (20,210 images) or "val" (2000).
        download: first fetch the archive, some 0.9 GB, unless its folder is there. It is verified
            by the SHA-1 that GluonCV publishes.
        transform: see `SegmentationDataset`.
        target_transform: see `SegmentationDataset`.
        transforms: see `SegmentationDataset`.
        reduce_zero_label: True: 150 labels, stored 0 is void, stored k is label k - 1. False: 151
            labels as stored, 0 is "other".

    Attributes:
        classes: from the archive's objectInfo150.txt; empty where that file is not there.

    Raises:
        FileNotFoundError: no such folder or file; the message tells what was looked for.
        ValueError: an unknown image set, or a download that does not match.
        RuntimeError: a download failed.
    """

    num_labels = 150
    _folders: Mapping[str, str] = {"train": "training", "val": "validation"}

    def __init__(
        self,
        root: PathLike,
        image_set: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transforms | None = None,
        *,
        reduce_zero_label: bool = True,
    ) -> None:
        super().__init__(root, transform, target_transform, transforms)
        self.image_set = _choice("image_set", image_set, tuple(self._folders))
        self.reduce_zero_label = _flag("reduce_zero_label", reduce_zero_label)
        self.num_labels = 150 if self.reduce_zero_label else 151
        name = "ADEChallengeData2016"
        if _flag("download", download) and not (self.root / name).is_dir():
            dl.fetch_archive(_ADE_ARCHIVE, _ADE_CHECKSUM, self.root, name)
        inner = f"images/{self._folders[self.image_set]}"
        what = f"{inner} of {name} (download=True fetches it)"
        images = first_folder(self.root, (f"{name}/{inner}", inner), what)
        top = images.parents[1]
        masks = top / "annotations" / images.name
        found = by_name(images, ".jpg")
        if not found:
            raise FileNotFoundError(f"found no images *.jpg in {images}")
        looked = f"{images} and {masks}"
        self._take(paired(sorted(found), found, by_name(masks, ".png"), looked))
        self.classes = self._read_classes(top / "objectInfo150.txt")

    def _read_classes(self, path: Path) -> tuple[str, ...]:
        """Last column of the tab-separated table, by label."""
        if not path.is_file():
            return ()
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        names = tuple(line.split("\t")[-1].strip() for line in lines if line.strip())
        if len(names) != 150:
            return ()
        return names if self.reduce_zero_label else ("other", *names)
