# SPDX-License-Identifier: Apache-2.0
"""How good labels and superpixels are: the numbers of joint_segmentation.py."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrfcore import metrics, superpixels
from mrfcore.models import JointSegmentation

BAND = 2  # pixels: half of the band along true boundaries
RADII = (1, 2, 3)  # of the edge scores

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """Percent, over held-out images."""

    iou: float
    """Mean over labels."""
    accuracy: float
    near: float
    """Mean IoU within BAND pixels of true boundaries."""
    edges: float
    """F-measure of edges at RADII[0], mean over images (Eq 4.15)."""
    ratio: float
    """Performance ratio of edges, likewise (Eq 4.16)."""


@torch.no_grad()
def labels_of(model: JointSegmentation, image: Tensor) -> Labels:
    """[H, W]."""
    found: Labels = model(image).logits.argmax(1)[0].cpu().numpy()
    return found


def score(
    model: JointSegmentation, judged: Sequence[tuple[Tensor, Tensor]], void: int = 255
) -> Score:
    """Judge a model in eval mode; its mode is as it was afterwards."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    found = [labels_of(model, image.to(device)) for image, _ in judged]
    model.train(training)
    return score_of(found, [truth.numpy() for _, truth in judged], model.num_labels, void)


def score_of(
    found: Sequence[Labels], truths: Sequence[Labels], num_labels: int, void: int = 255
) -> Score:
    """Judge labels."""
    matrix = metrics.ConfusionMatrix(num_labels, ignore=void)
    near = metrics.ConfusionMatrix(num_labels, ignore=void)
    edges = metrics.EdgeMeter(RADII, ignore=void)
    for ours, truth in zip(found, truths, strict=True):
        matrix.update(ours, truth)
        band = metrics.boundary_band(truth, BAND, ignore=void)
        near.update(ours, np.where(band, truth, void))
        edges.update(ours, truth)
    scores = edges.compute()
    return Score(
        100 * matrix.mean_iou,
        100 * matrix.pixel_accuracy,
        100 * near.mean_iou,
        100 * scores.f_measure[0],
        100 * scores.performance_ratio[0],
    )


@dataclass(frozen=True)
class Superpixels:
    """Percent, over held-out images."""

    recall: float
    """True boundary pixels with one of the superpixels' within a pixel or so."""
    leak: float
    """Undersegmentation error."""
    achievable: float
    """Accuracy when each superpixel takes the region it overlaps most."""
    count: float
    """Mean number."""


def superpixel_scores(ids: Sequence[Labels], truths: Sequence[Labels]) -> Superpixels:
    """Judge maps of superpixels."""
    pairs = list(zip(ids, truths, strict=True))
    return Superpixels(
        100 * statistics.fmean(superpixels.boundary_recall(i, t) for i, t in pairs),
        100 * statistics.fmean(superpixels.undersegmentation_error(i, t) for i, t in pairs),
        100 * statistics.fmean(superpixels.achievable_accuracy(i, t) for i, t in pairs),
        statistics.fmean(len(np.unique(i)) for i, _ in pairs),
    )


@torch.no_grad()
def drawn(net: nn.Module, judged: Sequence[tuple[Tensor, Tensor]]) -> list[Labels]:
    """The superpixels that a network draws, connected."""
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    found = [
        net.ids(image.to(device), enforce_connectivity=True)[0].cpu().numpy() for image, _ in judged
    ]
    net.train(training)
    return found
