# SPDX-License-Identifier: Apache-2.0
"""What data sets of labelled volumes share.

An item is `(volume, labels)`: float32 `[C, D, H, W]` and int64 `[D, H, W]`, NumPy arrays, which
torch's default collate makes tensors of. `void`, 255, marks voxels that do not count. The folders
expected are in docs/volume_data.md; joint transforms in `mrfcore.datasets.volume_transforms`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mrfcore.datasets.segmentation import SegmentationDataset

__all__ = [
    "Labels",
    "Volume",
    "VolumeDataset",
    "check_listed",
    "read_numbers",
    "voxelize",
    "zscored",
]

Volume = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class VolumeDataset(SegmentationDataset):
    """Volumes with a label for each voxel: arguments and attributes of `SegmentationDataset`.

    `images` and `masks` are files of the volumes and of the labels. `transform` is called with the
    volume, `target_transform` with the labels, `transforms` with both.
    """


def check_listed(name: str, chosen: object, known: tuple[str, ...]) -> tuple[str, ...]:
    """The names chosen, in their own order; None: all.

    Raises:
        ValueError, TypeError: unknown names, none, or no names at all.
    """
    if chosen is None:
        return known
    if isinstance(chosen, str) or not isinstance(chosen, (list, tuple)):
        raise TypeError(f"{name}: expected None or a list of names, got {chosen!r}")
    wrong = [item for item in chosen if item not in known]
    if wrong or not chosen:
        raise ValueError(f"{name}: expected some of {', '.join(known)}, got {chosen!r}")
    return tuple(chosen)


def zscored(sequences: npt.NDArray[np.number]) -> Volume:
    """Each channel with mean 0 and standard deviation 1 where it is not 0; 0 stays 0.

    Means are taken over the brain only: how much air is around it says nothing.

    Args:
        sequences: `[C, D, H, W]`.
    """
    volume = np.zeros(sequences.shape, np.float32)
    for number, values in enumerate(sequences):
        inside = values != 0
        brain = values[inside].astype(np.float64)
        if brain.size:
            # Sums of whole numbers are exact in any order: the same bits everywhere.
            mean = float(brain.sum()) / brain.size
            spread = math.sqrt(max(0.0, float((brain * brain).sum()) / brain.size - mean * mean))
            volume[number][inside] = (brain - mean) / (spread if spread > 0 else 1.0)
    return volume


def voxelize(
    points: npt.ArrayLike, labels: npt.ArrayLike, size: int, *, void: int = 255
) -> tuple[Volume, Labels]:
    """Points with labels as a grid of voxels.

    The cube [-1, 1]^3 becomes `size` voxels along each axis, in the order of the coordinates;
    points beyond it go to its border. A voxel has the label most of its points have, the lowest of
    those that tie.

    Args:
        points: real numbers `[N, 3]`, N >= 1.
        labels: integers >= 0 `[N]`.
        size: S >= 1.
        void: label of voxels without a point.

    Returns:
        (volume, labels): float32 `[1, S, S, S]`, 1 where there are points and 0 elsewhere, and
        int64 `[S, S, S]`.

    Raises:
        ValueError: other shapes, points that are not finite, or negative labels.
    """
    place, given = np.asarray(points, np.float64), np.asarray(labels)
    if place.ndim != 2 or place.shape[1] != 3 or not len(place) or not np.isfinite(place).all():
        raise ValueError(
            f"points: expected finite numbers of shape [N, 3], N >= 1, got {list(place.shape)}"
            + (" with inf or NaN" if place.shape[1:] == (3,) and len(place) else "")
        )
    if given.shape != place.shape[:1] or given.dtype.kind not in "iu" or given.min() < 0:
        raise ValueError(
            f"labels: expected integers >= 0 of shape [{len(place)}] as of points, got "
            f"{given.dtype} of shape {list(given.shape)}"
        )
    if size < 1:
        raise ValueError(f"size: expected a number >= 1, got {size}")
    cell = np.clip(np.floor((place + 1.0) * (0.5 * size)), 0, size - 1).astype(np.int64)
    flat = (cell[:, 0] * size + cell[:, 1]) * size + cell[:, 2]
    many = int(given.max()) + 1
    keys, counts = np.unique(flat * many + given, return_counts=True)
    voxel, label = keys // many, keys % many
    order = np.lexsort((label, -counts, voxel))  # by voxel, most points first, lowest label first
    voxels, first = np.unique(voxel[order], return_index=True)
    grid = np.full(size**3, void, np.int64)
    grid[voxels] = label[order][first]
    volume = np.zeros(size**3, np.float32)
    volume[voxels] = 1.0
    return volume.reshape(1, size, size, size), grid.reshape(size, size, size)


def read_numbers(path: Path, columns: int) -> npt.NDArray[np.float64]:
    """A table of numbers in a text file, `[N, columns]`.

    Raises:
        ValueError: it is no such table.
    """
    try:
        table = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} is not a table of numbers: {error}") from None
    if table.shape[1] != columns or not len(table) or not np.isfinite(table).all():
        raise ValueError(
            f"{path} has shape {list(table.shape)}, expected lines of {columns} finite numbers"
        )
    return table
