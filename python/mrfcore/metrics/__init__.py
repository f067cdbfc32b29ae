# SPDX-License-Identifier: Apache-2.0
"""Errors of disparity maps and restored images; scores of segmentations, edges and superpixels.

>>> from mrfcore import metrics
>>> metrics.bad_pixels(disparity, truth, 1.0)  # percent; `metrics.stereo_metrics` for all at once
>>> seen = metrics.ConfusionMatrix(21)
>>> seen.update(pred, truth)  # any number of times
>>> seen.mean_iou, seen.pixel_accuracy  # 0..1
>>> metrics.edge_metrics(pred, truth).f_measure  # at 1 to 5 pixels

Definitions and conventions: docs/metrics.md.
"""

from __future__ import annotations

from mrfcore._superpixel_scores import (
    achievable_accuracy,
    boundary_recall,
    compactness,
    undersegmentation_error,
)
from mrfcore.metrics.bands import boundary_band, fill_void, label_edges
from mrfcore.metrics.confusion import ConfusionMatrix
from mrfcore.metrics.edges import EdgeMeter, EdgeMetrics, edge_metrics
from mrfcore.metrics.images import psnr, rmse
from mrfcore.metrics.segmentation import (
    boundary_mean_iou,
    mean_iou,
    pixel_accuracy,
)
from mrfcore.metrics.stereo import (
    Invalid,
    StereoMetrics,
    bad_pixels,
    d1,
    end_point_error,
    stereo_metrics,
)

__all__ = [
    "ConfusionMatrix",
    "EdgeMeter",
    "EdgeMetrics",
    "Invalid",
    "StereoMetrics",
    "achievable_accuracy",
    "bad_pixels",
    "boundary_band",
    "boundary_mean_iou",
    "boundary_recall",
    "compactness",
    "d1",
    "edge_metrics",
    "end_point_error",
    "fill_void",
    "label_edges",
    "mean_iou",
    "pixel_accuracy",
    "psnr",
    "rmse",
    "stereo_metrics",
    "undersegmentation_error",
]
