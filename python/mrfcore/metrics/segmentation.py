# SPDX-License-Identifier: Apache-2.0
"""Scores of segmentations in one call; of data sets, see `ConfusionMatrix`."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mrfcore.metrics._labels import checked_ignore, counted, label_pairs
from mrfcore.metrics.bands import band_of
from mrfcore.metrics.confusion import ConfusionMatrix, ratio

__all__ = ["boundary_mean_iou", "mean_iou", "pixel_accuracy"]


def mean_iou(pred: Any, truth: Any, num_labels: int, ignore: int | None = 255) -> float:
    """Mean intersection over union of one map, one batch, or a list of them, pooled.

    Of a data set it is a `ConfusionMatrix`'s, not the mean of its images'.

    Args:
        pred: labels, integers [H, W] or [B, H, W], NumPy or torch.
        truth: likewise, of the same shape.
        num_labels: L; labels are 0..L-1.
        ignore: void label of the truth, whose pixels are left out. None: there is none.

    Returns:
        0..1, over the labels that are true or predicted somewhere; NaN if all is void.

    Raises:
        ValueError: shapes differ, empty, or a label out of range.
        TypeError: no integers.
    """
    seen = ConfusionMatrix(num_labels, ignore)
    seen.update(pred, truth)
    return seen.mean_iou


def pixel_accuracy(pred: Any, truth: Any, ignore: int | None = 255) -> float:
    """Share of pixels predicted right; arguments as `mean_iou`, labels may be any integers.

    Returns:
        0..1; NaN if all is void.

    Raises:
        ValueError: shapes differ, or empty.
        TypeError: no integers.
    """
    void, right, count = checked_ignore(ignore), 0, 0
    for predicted, true in label_pairs(pred, truth):
        keep = counted(true, void)
        right += int(np.count_nonzero((predicted == true) & keep))
        count += int(np.count_nonzero(keep))
    return ratio(right, count)


def boundary_mean_iou(
    pred: Any,
    truth: Any,
    num_labels: int,
    width: int,
    ignore: int | None = 255,
    *,
    void_edges: bool = True,
    shape: Literal["disk", "square"] = "disk",
) -> float:
    """Mean IoU of the pixels within `width` of a true boundary: the trimap protocol.

    The band is `boundary_band(truth, width)`, of the truth alone; void in it does not count (Kohli,
    Ladicky & Torr 2009; Krähenbühl & Koltun 2011). Of a data set, update a `ConfusionMatrix` with
    `mask=boundary_band(truth, width)`.

    Args:
        pred: labels, integers [H, W] or [B, H, W], NumPy or torch.
        truth: likewise, of the same shape.
        num_labels: L; labels are 0..L-1.
        width: pixels on either side of a boundary, >= 1.
        ignore: void label of the truth. None: there is none.
        void_edges: whether the border of void is a boundary, see `boundary_band`.
        shape: "disk" or "square": how distances are measured.

    Returns:
        0..1, over the labels that are true or predicted in the band; NaN if it is empty.

    Raises:
        ValueError: shapes differ, empty, a label out of range, or a wrong option.
        TypeError: no integers.
    """
    seen = ConfusionMatrix(num_labels, ignore)
    for predicted, true in label_pairs(pred, truth):
        band = band_of(true, width, seen.ignore, void_edges, shape)
        seen.update(predicted, true, band)
    return seen.mean_iou
