# SPDX-License-Identifier: Apache-2.0
"""Images with labels, as joint_segmentation.py learns from them and is judged on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mrfcore import datasets
from mrfcore.datasets import segmentation_transforms as transforms
from mrfcore.models import SuperpixelFCN

VOID = 255

Colours = tuple[Sequence[float], Sequence[float]]  # mean and standard deviation, on 0..1
SCENES: Colours = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
IMAGENET: Colours = (transforms.IMAGENET_MEAN, transforms.IMAGENET_STD)
SUPERPIXELS: Colours = SuperpixelFCN.colours  # as the released weights want them
PLAIN: Colours = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # for networks that normalise by themselves


@dataclass(frozen=True)
class Look:
    """What is done to an image before a network sees it."""

    crop: int
    scale: tuple[float, float] | None = (0.5, 2.0)
    """A random factor, before the crop; None: 1."""
    colours: Colours = SCENES
    """What is subtracted, and what it is divided by then."""
    void: int = VOID
    """What pixels beyond the border are labelled."""

    def training(self, seed: int) -> transforms.Compose:
        """Random scale, crop and flip, all decided by the seed."""
        random = np.random.default_rng(seed)
        steps: list[Any] = []
        if self.scale is not None:
            steps.append(transforms.RandomScale(*self.scale, generator=random))
        steps += [
            transforms.RandomCrop(self.crop, self.void, generator=random),
            transforms.RandomHorizontalFlip(generator=random),
        ]
        return transforms.Compose([*steps, self.arrays()])

    def arrays(self) -> transforms.ToArrays:
        """What a network takes."""
        return transforms.ToArrays(*self.colours)

    def whole(self) -> transforms.Compose:
        """The image as it is, for judging."""
        return transforms.Compose([self.arrays()])


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Random crops of a data set, by (item, seed)."""

    def __init__(self, items: Any, look: Look) -> None:
        self.items, self.look = items, look

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        index, seed = key
        image, labels = self.look.training(seed)(*self.items[index])
        return torch.from_numpy(image), torch.from_numpy(labels)


class Kept:
    """A data set in memory: its items are made or read once."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = [items[number] for number in range(len(items))]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Any:
        return self._items[index]


class KeptRegions:
    """BSDS500 in memory, an item for each person's map; an image is kept once."""

    def __init__(self, images: Sequence[tuple[Any, Sequence[Any]]]) -> None:
        self._images = list(images)
        self._places = [
            (number, person)
            for number, (_, maps) in enumerate(self._images)
            for person in range(len(maps))
        ]

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> tuple[Any, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[Any, Any]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number, person = self._places[index]
        image, maps = self._images[number]
        return image, maps[person]


@dataclass(frozen=True)
class Judged:
    """Held-out images [1, 3, H, W] with labels [H, W], made anew every time they are gone through.

    So that a validation set need not fit into memory.
    """

    items: Any
    look: Look
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        whole = self.look.whole()
        for number in self.numbers:
            image, labels = whole(*self.items[number])
            yield torch.from_numpy(image)[None], torch.from_numpy(labels)

    def part(self, rank: int, processes: int) -> Judged:
        """What one of several processes goes through."""
        return Judged(self.items, self.look, self.numbers[rank::processes])


@dataclass(frozen=True)
class Data:
    """A data set in two parts."""

    name: str
    num_labels: int | None
    """None: labels are regions, whose numbers mean nothing."""
    training: Any
    held_out: Any
    void: int = VOID

    def judged(self, look: Look, most: int | None = None) -> Judged:
        """What networks are judged on; `most` images, or all."""
        count = len(self.held_out) if most is None else min(most, len(self.held_out))
        return Judged(self.held_out, look, range(count))


def scenes(training: int, held_out: int, height: int, width: int, num_labels: int) -> Data:
    """Synthetic ones; no two parts of a run share a scene."""
    options = {"height": height, "width": width, "num_labels": num_labels}
    return Data(
        "scenes",
        num_labels,
        Kept(datasets.LabelledScenes(training, **options)),
        Kept(datasets.LabelledScenes(held_out, seed=1_000_000, **options)),
    )


def files(name: str, root: Path) -> Data:
    """A data set in its usual layout: voc, context or ade20k.

    Raises:
        FileNotFoundError: it is not there; the message says what was looked for.
    """
    if name == "voc":
        parts = [datasets.VOCSegmentation(root, image_set=s) for s in ("trainaug", "val")]
    elif name == "context":
        parts = [datasets.PascalContext(root, image_set=s) for s in ("train", "val")]
    else:
        parts = [datasets.ADE20K(root, image_set=s) for s in ("train", "val")]
    return Data(name, parts[0].num_labels, parts[0], parts[1])


def regions(root: Path) -> Data:
    """BSDS500's, each as each of its people drew it; its test set is held out.

    Where the folders are flat, and know no sets, a quarter of the images is.

    Raises:
        FileNotFoundError: it is not there.
    """
    try:
        parts = [_in_memory(datasets.BSDS500(root, chosen)) for chosen in ("trainval", "test")]
    except FileNotFoundError:
        images = _in_memory(datasets.BSDS500(root, "all"))  # flat folders have no sets
        first = len(images) - max(1, len(images) // 4)
        parts = [images[:first], images[first:]]
    known, unseen = map(KeptRegions, parts)
    return Data("bsds500", None, known, unseen, void=datasets.BSDS500.void)


def _in_memory(images: Sequence[Any]) -> list[Any]:
    """Each with all its maps, read once."""
    return [images[number] for number in range(len(images))]
