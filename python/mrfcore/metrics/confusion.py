# SPDX-License-Identifier: Apache-2.0
"""Scores of segmentations from the confusion of labels; all are shares, 0..1.

With n_ij the pixels of true label i that were predicted as j, t_i = sum_j n_ij and p_j = sum_i n_ij
(Long, Shelhamer & Darrell 2015):

    pixel accuracy          sum_i n_ii / sum_i t_i
    mean accuracy           mean of n_ii / t_i
    IoU of label i          n_ii / (t_i + p_i - n_ii)
    mean IoU                mean of the IoUs
    frequency-weighted IoU  sum_i t_i IoU_i / sum_i t_i

Pixels whose truth is void are left out, whatever was predicted there. Means go over the labels that
have a number: an accuracy needs a true pixel, an IoU one that is true or predicted. The void label,
where it is one of the labels, has neither. A score of no pixels is NaN.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrfcore._scalars import _integer
from mrfcore.metrics._labels import (
    Labels,
    check_range,
    checked_ignore,
    counted,
    label_pairs,
    masks_of,
)

__all__ = ["ConfusionMatrix", "ratio"]

_Mask = npt.NDArray[np.bool_]

_PIECE = 1 << 15  # pixels


class ConfusionMatrix:
    """How many pixels of each true label were predicted as which, and the scores that follow.

    >>> seen = ConfusionMatrix(21)
    >>> for image, truth in loader:
    ...     seen.update(network(image).argmax(1), truth)
    >>> seen.mean_iou, seen.iou

    Matrices of several processes add up: with `+`, `merge` or `sum`, or in place with
    `torch.distributed.all_reduce(torch.from_numpy(seen.matrix))`. They can be pickled.

    Args:
        num_labels: L >= 1; labels are 0..L-1.
        ignore: void label of the truth, whose pixels are left out, inside or outside 0..L-1. None:
            there is none.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(self, num_labels: int, ignore: int | None = 255) -> None:
        if _integer("num_labels", num_labels) < 1:
            raise ValueError(f"num_labels: expected a number >= 1, got {num_labels}")
        self._num_labels = int(num_labels)
        self._ignore = checked_ignore(ignore)
        self._matrix = np.zeros((self._num_labels, self._num_labels), np.int64)

    @property
    def num_labels(self) -> int:
        """L."""
        return self._num_labels

    @property
    def ignore(self) -> int | None:
        """The void label of the truth; None: there is none."""
        return self._ignore

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """Pixels int64 [L, L]: rows are true labels, columns predicted ones. No copy."""
        return self._matrix

    def update(self, pred: Any, truth: Any, mask: Any = None) -> None:
        """Count the pixels of a map, of a batch, or of a list of either.

        Args:
            pred: labels, integers [H, W] or [B, H, W], NumPy or torch; of a GPU they are copied. In
                0..L-1 wherever the truth is not void.
            truth: likewise, of the same shape; in 0..L-1, or void.
            mask: non-zero where pixels count, of the same shape, such as `boundary_band(truth, 4)`.
                None: all count.

        Raises:
            ValueError: shapes differ, empty, or a label out of range; nothing is counted then.
            TypeError: no integers.
        """
        pairs = label_pairs(pred, truth)
        masks = masks_of(mask, pairs)
        found = [self._count(p, t, m) for (p, t), m in zip(pairs, masks, strict=True)]
        for counts in found:
            self._matrix += counts

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the pixels of another one.

        Raises:
            TypeError: it is no ConfusionMatrix.
            ValueError: it has other labels.
        """
        if not isinstance(other, ConfusionMatrix):
            raise TypeError(f"other: expected a ConfusionMatrix, got {type(other).__name__}")
        ours, theirs = (self._num_labels, self._ignore), (other._num_labels, other._ignore)
        if ours != theirs:
            raise ValueError(
                f"other: expected num_labels {ours[0]} and ignore {ours[1]}, got {theirs[0]} and "
                f"{theirs[1]}"
            )
        self._matrix += other._matrix

    def reset(self) -> None:
        """Forget all pixels."""
        self._matrix[...] = 0

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        both = ConfusionMatrix(self._num_labels, self._ignore)
        both.merge(self)
        both.merge(other)
        return both

    def __radd__(self, other: Literal[0]) -> ConfusionMatrix:  # what sum() begins with
        if not isinstance(other, int) or other != 0:
            return NotImplemented
        return self + ConfusionMatrix(self._num_labels, self._ignore)

    def __repr__(self) -> str:
        return (
            f"ConfusionMatrix(num_labels={self._num_labels}, ignore={self._ignore}): "
            f"{self.count} pixels, mean IoU {self.mean_iou:.4f}, "
            f"pixel accuracy {self.pixel_accuracy:.4f}"
        )

    # ------------------------------------------------------------ scores

    @property
    def count(self) -> int:
        """Pixels counted."""
        return int(self._matrix.sum())

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels predicted right."""
        return ratio(int(np.trace(self._matrix)), self.count)

    @property
    def accuracy(self) -> npt.NDArray[np.float64]:
        """Share of each label's true pixels that was predicted right, [L]; NaN without any."""
        return _ratios(np.diagonal(self._matrix), self._matrix.sum(axis=1))

    @property
    def mean_accuracy(self) -> float:
        """Mean of `accuracy` over the labels that have a true pixel."""
        return _mean(self.accuracy)

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of each label, [L]; NaN where it is neither true nor predicted.

        Of the void label, where that is in 0..L-1, NaN.
        """
        right = np.diagonal(self._matrix)
        union = self._matrix.sum(axis=0) + self._matrix.sum(axis=1) - right
        found = _ratios(right, union)
        if self._ignore is not None and 0 <= self._ignore < self._num_labels:
            found[self._ignore] = math.nan
        return found

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the labels that are true or predicted somewhere."""
        return _mean(self.iou)

    @property
    def frequency_weighted_iou(self) -> float:
        """Mean of `iou`, labels weighted by their true pixels."""
        weights = self._matrix.sum(axis=1)
        return ratio(float((weights * np.nan_to_num(self.iou)).sum()), self.count)

    def as_dict(self) -> dict[str, float]:
        """The four scores of the whole by name."""
        return {
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "mean_iou": self.mean_iou,
            "frequency_weighted_iou": self.frequency_weighted_iou,
        }

    def _count(self, pred: Labels, truth: Labels, mask: _Mask | None) -> npt.NDArray[np.int64]:
        """[L, L] of one pair of checked shape, in pieces that stay in cache."""
        size = self._num_labels
        pred, truth = pred.ravel(), truth.ravel()
        kept = None if mask is None else mask.ravel()
        found = np.zeros(size * size, np.int64)
        step = max(_PIECE, size * size)
        for start in range(0, truth.size, step):
            part = slice(start, start + step)
            found += self._piece(pred[part], truth[part], None if kept is None else kept[part])
        return found.reshape(size, size)

    def _piece(self, pred: Labels, truth: Labels, mask: _Mask | None) -> npt.NDArray[np.int64]:
        size, keep = self._num_labels, counted(truth, self._ignore)
        if not keep.all():
            pred, truth = pred[keep], truth[keep]
            mask = None if mask is None else mask[keep]
        check_range("truth", truth, size, "; is `ignore` the void label?")
        check_range("pred", pred, size)
        if mask is not None:
            pred, truth = pred[mask], truth[mask]
        index = truth.astype(np.int64)
        index *= size
        np.add(index, pred, out=index, casting="unsafe")  # uint64 in range is safe
        return np.bincount(index, minlength=size * size)


def ratio(part: float, whole: float) -> float:
    """NaN of nothing."""
    return part / whole if whole else math.nan


def _ratios(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    found = np.full(len(whole), math.nan)
    np.divide(part, whole, out=found, where=whole != 0)
    return found


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
