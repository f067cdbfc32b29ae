# SPDX-License-Identifier: Apache-2.0
"""Images with labels, as joint_segmentation.py learns from them and is judged on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mrfcore import datasets
from mrfcore.datasets import segmentation_transforms as transforms

VOID = 255
_MEAN, _STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Look:
    """What is done to an image before a network sees it."""

    crop: int
    scale: tuple[float, float] | None = (0.5, 2.0)
    """A random factor, before the crop; None: 1."""
    imagenet: bool = False
    """Colours as networks trained on ImageNet expect them."""
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
        """Colours around 0."""
        return transforms.ToArrays() if self.imagenet else transforms.ToArrays(_MEAN, _STD)

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


@dataclass(frozen=True)
class Data:
    """A data set in two parts."""

    name: str
    num_labels: int | None
    """None: labels are regions, whose numbers mean nothing."""
    training: Any
    held_out: Any
    void: int = VOID

    def judged(self, look: Look, most: int | None = None) -> list[tuple[Tensor, Tensor]]:
        """Held-out images [1, 3, H, W] with labels [H, W]."""
        count = len(self.held_out) if most is None else min(most, len(self.held_out))
        found = []
        for number in range(count):
            image, labels = look.whole()(*self.held_out[number])
            found.append((torch.from_numpy(image)[None], torch.from_numpy(labels)))
        return found


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
        known = datasets.BSDS500(root, "trainval", person="each")
        unseen = datasets.BSDS500(root, "test", person="each")
        return Data("bsds500", None, Kept(known), Kept(unseen), void=known.void)
    except FileNotFoundError:
        whole = datasets.BSDS500(root, "all", person="each")  # flat folders have no sets
    names = sorted(set(whole.images))
    held_out = set(names[-max(1, len(names) // 4) :])
    parts: tuple[list[Any], list[Any]] = ([], [])
    for number, name in enumerate(whole.images):
        parts[name in held_out].append(whole[number])
    return Data("bsds500", None, *parts, void=whole.void)
