# SPDX-License-Identifier: Apache-2.0
"""Changes of a volume and its labels together, for `transforms=` of the data sets; without torch.

>>> from mrfcore.datasets import volume_transforms as V
>>> train = V.Compose([V.RandomBox(128, generator=0), V.RandomFlip(generator=1)])
>>> volume, labels = train(volume, labels)  # float32 [4, 128, 128, 128], int64 [128, 128, 128]

Random ones draw from `generator`: see `mrfcore.datasets.segmentation_transforms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore._scalars import _checked, _integer
from mrfcore.datasets.segmentation_pairs import Draws, Generator
from mrfcore.datasets.segmentation_transforms import Compose

__all__ = ["CenterBox", "Compose", "RandomBox", "RandomFlip", "RandomTurn"]

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def _as_pair(volume: Any, labels: Any) -> Pair:
    values, marks = np.asarray(volume), np.asarray(labels)
    if values.ndim != 4 or marks.shape != values.shape[1:]:
        raise ValueError(
            "volume, labels: expected shapes [C, D, H, W] and [D, H, W], got "
            f"{list(values.shape)} and {list(marks.shape)}"
        )
    return values, marks


def _as_box(size: int | Sequence[int]) -> tuple[int, int, int]:
    sizes = tuple(size) if isinstance(size, Sequence) else (size,) * 3
    if len(sizes) != 3:
        raise ValueError(f"size: expected a number or (depth, height, width), got {size!r}")
    depth, height, width = (_integer("size", number) for number in sizes)
    if min(depth, height, width) < 1:
        raise ValueError(f"size: expected numbers >= 1, got {size!r}")
    return depth, height, width


def _cut(pair: Pair, starts: Sequence[int], box: tuple[int, int, int], void: int) -> Pair:
    """The box from `starts` on, which may be negative; outside are zeros and void."""
    volume, labels = pair
    inner, outer = [slice(None)], [slice(None)]
    for start, size, length in zip(starts, box, labels.shape, strict=True):
        first, last = max(0, start), min(length, start + size)
        inner.append(slice(first, last))
        outer.append(slice(first - start, last - start))
    values = np.zeros((len(volume), *box), volume.dtype)
    marks = np.full(box, void, labels.dtype)
    values[tuple(outer)] = volume[tuple(inner)]
    marks[tuple(outer[1:])] = labels[tuple(inner[1:])]
    return values, marks


class CenterBox:
    """The box in the middle; smaller volumes are padded on all sides, with 0 and a label.

    Args:
        size: (depth, height, width), or one number for the three; >= 1.
        void: label of padded voxels; 0 for BraTS, where the padding is background.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(self, size: int | Sequence[int], void: int = 255) -> None:
        self.size, self.void = _as_box(size), _integer("void", void)

    def __call__(self, volume: Any, labels: Any) -> Pair:
        """Both, `size` voxels large."""
        pair = _as_pair(volume, labels)
        starts = [(n - size) // 2 for n, size in zip(pair[1].shape, self.size, strict=True)]
        return _cut(pair, starts, self.size, self.void)


class RandomBox(Draws):
    """A box of one size from anywhere; smaller volumes are padded as by `CenterBox`.

    Args:
        size: see `CenterBox`.
        void: see `CenterBox`.
        generator: see the module.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(
        self, size: int | Sequence[int], void: int = 255, generator: Generator = None
    ) -> None:
        super().__init__(generator)
        self.size, self.void = _as_box(size), _integer("void", void)

    def __call__(self, volume: Any, labels: Any) -> Pair:
        """Both, `size` voxels large."""
        pair = _as_pair(volume, labels)
        starts = []
        for share, length, size in zip(self.draw(3), pair[1].shape, self.size, strict=True):
            room = length - size
            starts.append(int(share * (room + 1)) if room >= 0 else room // 2)
        return _cut(pair, starts, self.size, self.void)


class RandomFlip(Draws):
    """Mirror both along each of some axes, with a probability each.

    Args:
        p: of mirroring, 0 to 1.
        axes: of the labels: 0 (depth), 1 (height), 2 (width: left and right of BraTS's cases).
        generator: see the module.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(
        self, p: float = 0.5, axes: Sequence[int] = (2,), generator: Generator = None
    ) -> None:
        super().__init__(generator)
        self.p = _checked("p", p, lambda v: 0 <= v <= 1, "a number from 0 to 1")
        self.axes = tuple(_integer("axes", axis) for axis in axes)
        if not self.axes or not set(self.axes) <= {0, 1, 2}:
            raise ValueError(f"axes: expected some of 0, 1, 2, got {tuple(axes)}")

    def __call__(self, volume: Any, labels: Any) -> Pair:
        """Both, mirrored or as they are."""
        values, marks = _as_pair(volume, labels)
        drawn = zip(self.axes, self.draw(len(self.axes)), strict=True)
        axes = tuple(axis for axis, share in drawn if share < self.p)
        values = np.flip(values, tuple(axis + 1 for axis in axes))
        return np.ascontiguousarray(values), np.ascontiguousarray(np.flip(marks, axes))


class RandomTurn(Draws):
    """Turn points about the origin by any rotation, evenly, and mirror half of them.

    For `point_transform=` of `ShapeNetParts`: as Graham et al. (2018) train.

    Args:
        generator: see the module.

    Raises:
        TypeError: no such generator.
    """

    def __init__(self, generator: Generator = None) -> None:
        super().__init__(generator)

    def __call__(self, points: Any) -> npt.NDArray[np.float64]:
        """As many points `[N, 3]`."""
        place = np.asarray(points, np.float64)
        if place.ndim != 2 or place.shape[1] != 3:
            raise ValueError(f"points: expected shape [N, 3], got {list(place.shape)}")
        a, b, c, mirror = self.draw(4)
        # A uniform unit quaternion (Shoemake 1992) is a uniform rotation.
        low, high = np.sqrt(1.0 - a), np.sqrt(a)
        x, y = low * np.sin(2 * np.pi * b), low * np.cos(2 * np.pi * b)
        z, w = high * np.sin(2 * np.pi * c), high * np.cos(2 * np.pi * c)
        turn = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        side = np.array([-1.0 if mirror < 0.5 else 1.0, 1.0, 1.0])
        return np.asarray((place * side) @ turn.T)
