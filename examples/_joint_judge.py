# SPDX-License-Identifier: Apache-2.0
"""How good labels and superpixels are: the numbers of joint_segmentation.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import _joint_data as data
import _joint_train as training
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrfcore import metrics, superpixels
from mrfcore._modes import evaluating
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


def labels_of(model: JointSegmentation, image: Tensor) -> Labels:
    """[H, W]."""
    found: Labels = model(image).logits.argmax(1)[0].cpu().numpy()
    return found


class Tally:
    """Scores that are counted image by image, and added up over processes."""

    def __init__(self, num_labels: int, void: int) -> None:
        self._void = void
        self._all = metrics.ConfusionMatrix(num_labels, ignore=void)
        self._near = metrics.ConfusionMatrix(num_labels, ignore=void)
        self._edges = metrics.EdgeMeter(RADII, ignore=void)

    def update(self, found: Labels, truth: Labels) -> None:
        """Count an image."""
        self._all.update(found, truth)
        self._near.update(found, truth, metrics.boundary_band(truth, BAND, ignore=self._void))
        self._edges.update(found, truth)

    def add_up(self, device: torch.device) -> None:
        """Over all processes, each of which has counted its part."""
        for counts in (self._all.matrix, self._near.matrix, self._edges.state):
            total = torch.from_numpy(counts).to(device)
            torch.distributed.all_reduce(total)
            counts[...] = total.cpu().numpy()

    def score(self) -> Score:
        """Of all images."""
        edges = self._edges.compute()
        return Score(
            100 * self._all.mean_iou,
            100 * self._all.pixel_accuracy,
            100 * self._near.mean_iou,
            100 * edges.f_measure[0],
            100 * edges.performance_ratio[0],
        )


@contextmanager
def judging(model: nn.Module) -> Iterator[torch.device]:
    """In eval mode, each part as it was afterwards; says on which device."""
    with evaluating(model), torch.no_grad():
        yield next(model.parameters()).device


def score(
    model: JointSegmentation,
    judged: data.Judged,
    void: int = 255,
    where: training.Machine | None = None,
) -> Score:
    """Judge a model; of several processes each takes its part of the images."""
    tally = Tally(model.num_labels, void)
    several = where is not None and where.processes > 1
    if where is not None and several:
        judged = judged.part(where.rank, where.processes)
    with judging(model) as device:
        for image, truth in judged:
            tally.update(labels_of(model, image.to(device)), truth.numpy())
    if several:
        tally.add_up(device)
    return tally.score()


def score_of(
    found: Iterable[Labels], truths: Iterable[Labels], num_labels: int, void: int = 255
) -> Score:
    """Judge labels."""
    tally = Tally(num_labels, void)
    for ours, truth in zip(found, truths, strict=True):
        tally.update(ours, truth)
    return tally.score()


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


def superpixel_scores(
    ids: Iterable[Labels], truths: Iterable[Labels], void: int | None = None
) -> Superpixels:
    """Judge maps of superpixels; pixels that are truly `void` do not count."""
    rows = []
    for ours, truth in zip(ids, truths, strict=True):
        options: dict[str, Any] = {"ignore": void}
        scores = (
            superpixels.boundary_recall(ours, truth, **options),
            superpixels.undersegmentation_error(ours, truth, **options),
            superpixels.achievable_accuracy(ours, truth, **options),
        )
        rows.append((*(100 * value for value in scores), len(np.unique(ours))))
    return Superpixels(*np.nanmean(np.array(rows, np.float64), axis=0).tolist())


def drawn(net: Any, judged: data.Judged) -> Iterable[Labels]:
    """The superpixels that a network draws, connected."""
    for image, _ in judged:
        with judging(net) as device:
            ids = net.ids(image.to(device), enforce_connectivity=True)
        yield ids[0].cpu().numpy()
