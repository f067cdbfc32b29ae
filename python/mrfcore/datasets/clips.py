# SPDX-License-Identifier: Apache-2.0
"""What data sets of clips share.

An item is `(clip, label)`: uint8 RGB `[T, H, W, 3]`, torchvision's order of axes, and a number.
`mrfcore.datasets.clip_transforms` makes float32 `[3, T, S, S]` of it. The folders expected are in
docs/volume_data.md.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore.datasets.segmentation import Transform

__all__ = ["Clip", "ClipDataset"]

Clip = npt.NDArray[np.uint8]


class ClipDataset:
    """Clips with a class each.

    Args:
        transform: called with the clip.
        target_transform: called with the label.

    Attributes:
        classes: names of the classes, by label.
        labels: label of each item.
    """

    classes: tuple[str, ...] = ()
    labels: list[int]

    def __init__(
        self, transform: Transform | None = None, target_transform: Transform | None = None
    ) -> None:
        self.transform, self.target_transform = transform, target_transform

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The item `(clip, label)`, transformed; negative numbers count from the end.

        Raises:
            IndexError: no such clip.
            FileNotFoundError: a file has gone.
            ValueError: an unreadable file.
        """
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(
                f"index {number} is out of range for the {len(self)} items of {type(self).__name__}"
            )
        clip, label = self._load(number % len(self))
        return (
            clip if self.transform is None else self.transform(clip),
            label if self.target_transform is None else self.target_transform(label),
        )

    def _load(self, index: int) -> tuple[Clip, int]:
        """One item before transforms."""
        raise NotImplementedError
