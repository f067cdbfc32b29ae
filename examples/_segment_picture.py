# SPDX-License-Identifier: Apache-2.0
"""The picture of segment_refine.py: held-out images, and the methods' scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import _common as common
import _regions as data
import numpy as np
import numpy.typing as npt

from mrfcore import viz

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from segment_refine import Outcome, Row, Sample

_CLICK = (255, 255, 255)


def draw(
    runs: Sequence[Mapping[str, Outcome]], shown: Sequence[Sample], rows: Mapping[str, Row]
) -> Figure:
    """The first run's held-out images by every method, and the scores of all runs below."""
    wide = [number for number, one in enumerate(shown) if _ratio(one) < 1]
    chosen = (wide + [n for n in range(len(shown)) if n not in wide])[:3]
    methods = list(runs[0])
    columns = 2 + len(methods)
    cells = [18.0 / columns * _ratio(shown[number]) + 0.35 for number in chosen]
    figure = common.new_figure(18.0, sum(cells) + 4.0)
    bands = figure.subfigures(len(chosen) + 1, 1, squeeze=False, height_ratios=[*cells, 4.0])[:, 0]
    for band, number in zip(bands, chosen, strict=False):
        panels = band.subplots(1, columns)
        one = shown[number]
        common.panel(panels[0], clicked(one), f"clicks: {one.scene.name}")
        common.panel(panels[1], _regions(one, one.scene.regions), "true regions")
        for axes, name in zip(panels[2:], methods, strict=True):
            labels = runs[0][name].labels[number]
            score = f"{100 * data.mean_iou(labels, one.scene):.1f}"
            common.panel(axes, _regions(one, labels), name, score)
    left, right = bands[-1].subplots(1, 2)
    _scores(left, runs, rows)
    _gains(right, runs, rows)
    return figure


def _ratio(one: Sample) -> float:
    height, width = one.scene.regions.shape
    return float(height / width)


def _regions(one: Sample, labels: npt.NDArray[np.int64]) -> Any:
    """Regions over the grey image; what does not count is left grey."""
    grey = np.repeat(one.scene.image.mean(2, keepdims=True), 3, axis=2).astype(np.uint8)
    return viz.label_overlay(grey, np.where(one.scene.regions >= 0, labels, -1), 0.55)


def clicked(one: Sample) -> npt.NDArray[np.uint8]:
    """The image with its clicks in their regions' colours, ringed in white."""
    picture = one.scene.image.copy()
    height, width = picture.shape[:2]
    marks = np.full((height, width), -1, np.int64)
    for y, x, region in one.clicks.numpy():
        for radius, value in ((3, -1), (2, region)):
            rows = slice(max(0, y - radius), min(height, y + radius + 1))
            columns = slice(max(0, x - radius), min(width, x + radius + 1))
            picture[rows, columns] = _CLICK
            marks[rows, columns] = value
    return viz.label_overlay(picture, marks, 1.0, boundaries=False)


def _scores(axes: Axes, runs: Sequence[Mapping[str, Outcome]], rows: Mapping[str, Row]) -> None:
    """Mean IoU, one dot for each run, joined within a run."""
    place = np.arange(len(rows))
    for outcomes in runs:
        scores = [100 * np.mean(outcomes[name].iou) for name in rows]
        axes.plot(place, scores, "-o", color="#bbbbbb", markersize=4, linewidth=0.8)
    for x, row, colour in zip(place, rows.values(), common.COLOURS, strict=False):
        axes.errorbar(x, row.iou, row.spread, fmt="D", color=colour, capsize=5, zorder=3)
    axes.set_xticks(place, list(rows))
    axes.margins(x=0.08)
    common.tidy(
        axes, "mean IoU of held-out images (grey: each run; bars: spread of the runs)", y="%"
    )


def _gains(axes: Axes, runs: Sequence[Mapping[str, Outcome]], rows: Mapping[str, Row]) -> None:
    """What each layer adds to the network alone, run by run."""
    names = [name for name in rows if name != "network alone"]
    for place, name in enumerate(names):
        gains = [
            100 * (np.mean(outcomes[name].iou) - np.mean(outcomes["network alone"].iou))
            for outcomes in runs
        ]
        colour = common.COLOURS[1 + place]
        axes.bar(place, rows[name].gain, 0.55, color=colour, alpha=0.75)
        spots = place + np.linspace(-0.12, 0.12, len(gains)) * (len(gains) > 1)
        axes.plot(spots, gains, "o", color="#222222", markersize=4)
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.set_xticks(range(len(names)), names)
    common.tidy(
        axes, "gain over the network alone in the same run (dots: each run)", y="points of mIoU"
    )
