# SPDX-License-Identifier: Apache-2.0
"""The pictures of joint_segmentation.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import _common as common
import _joint_data as data
import numpy as np
import numpy.typing as npt
import torch

from mrfcore import superpixels
from mrfcore.models import JointSegmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 3  # scenes
_WINDOW = 20  # steps that a curve is averaged over
_PALETTE = ("#22262e", "#d1495b", "#edae49", "#2e5eaa", "#3d9970", "#7b4fa3", "#30a5bf")


def _colours(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Labels as colours; void is white."""
    table = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in _PALETTE], np.uint8)
    shown = table[np.asarray(labels, np.int64) % len(table)]
    shown[np.asarray(labels) == data.VOID] = 255
    return np.asarray(shown)


def _with_contours(image: npt.NDArray[np.uint8], ids: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    shown = image.copy()
    shown[superpixels.boundaries(ids)] = (255, 235, 60)
    return shown


@torch.no_grad()
def draw_ablation(
    scenes: data.Data, look: data.Look, models: Mapping[str, JointSegmentation]
) -> Figure:
    """Held-out scenes, one a row: image with superpixels, truth, and every variant's labels."""
    judged = scenes.judged(look, _SHOWN)
    columns = 2 + len(models)
    figure = common.new_figure(2.6 * columns, 2.3 * len(judged))
    grid: Any = figure.subplots(len(judged), columns, squeeze=False)
    for row, (image, truth) in enumerate(judged):
        picture = np.asarray(scenes.held_out[row][0])
        outputs = {name: model.eval()(image) for name, model in models.items()}
        drawn = [out.ids for out in outputs.values() if out.ids is not None]
        shown = _with_contours(picture, drawn[-1][0].numpy()) if drawn else picture
        common.panel(grid[row, 0], shown, "image, superpixels" if row == 0 else "")
        known = truth.numpy()
        common.panel(grid[row, 1], _colours(known), "truth" if row == 0 else "")
        for column, (name, out) in enumerate(outputs.items(), 2):
            found = out.logits.argmax(1)[0].numpy()
            right = 100 * float((found == known)[known != data.VOID].mean())
            common.panel(
                grid[row, column], _colours(found), name if row == 0 else "", f"{right:.1f} %"
            )
    return figure


def draw_curves(runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Fig. 4.9's shape: the loss of every initialisation, mean and range over runs."""
    kinds = list(runs[0])
    figure = common.new_figure(5.5 * len(kinds), 4.0)
    grid: Any = figure.subplots(1, len(kinds), squeeze=False, sharey=True)
    for axes, kind in zip(grid[0], kinds, strict=True):
        for colour, manner in zip(common.COLOURS, runs[0][kind], strict=False):
            losses = np.array([_smooth(run[kind][manner].losses) for run in runs])
            steps = np.arange(losses.shape[1])
            iou = np.mean([run[kind][manner].after.iou for run in runs])
            axes.plot(steps, losses.mean(0), color=colour, label=f"{manner}: mIoU {iou:.1f} %")
            axes.fill_between(steps, losses.min(0), losses.max(0), color=colour, alpha=0.2, lw=0)
        axes.set_yscale("log")
        axes.legend(frameon=False, fontsize=9)
        common.tidy(axes, f"{kind} logits", "step of joint training", "loss")
    return figure


def _smooth(losses: Sequence[float]) -> npt.NDArray[np.float64]:
    """The mean of the last steps, as many as there are."""
    sums = np.cumsum(np.concatenate([[0.0], losses]))
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(0, ends - _WINDOW)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))
