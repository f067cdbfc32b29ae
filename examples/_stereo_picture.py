# SPDX-License-Identifier: Apache-2.0
"""The picture of learn_stereo.py: what changed, where, and what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import _common as common
import numpy as np
import torch

from mrfcore import viz

if TYPE_CHECKING:
    from learn_stereo import Fold, Judged
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = ("teddy", "cones", "motorcycle", "tsukuba", "venus")  # the first two that are there
_GREY, _RED, _GREEN = common.COLOURS[0], common.COLOURS[1], common.COLOURS[4]
_METHODS = {"start": _GREY, "default": common.COLOURS[2], "learned": _GREEN}


def draw(folds: Sequence[Fold], rows: Mapping[str, Mapping[str, float]]) -> Figure:
    """Two held-out pairs before and after, then table, weights, training and shares."""
    judged = {one.pair.name: one for fold in folds for one in fold.judged}
    shown = [judged[name] for name in _SHOWN if name in judged][:2]
    columns = 5
    cells = [16.0 / columns * one.pair.left.shape[0] / one.pair.left.shape[1] for one in shown]
    figure = common.new_figure(16.0, 2 * sum(cells) + 0.35 * 2 * len(shown) + 4.4)
    bands = figure.subfigures(
        len(shown) + 1, 1, squeeze=False, height_ratios=[*(2 * c + 0.7 for c in cells), 4.4]
    )[:, 0]
    for band, one in zip(bands, shown, strict=False):
        _pair(band.subplots(2, columns), one)
    panels = bands[-1].subplots(1, 4, width_ratios=(1.0, 1.0, 1.25, 1.25))
    _table(panels[0], folds)
    _profile(panels[1], folds)
    _course(panels[2], folds)
    _shares(panels[3], rows)
    return figure


def _pair(panels: Any, one: Judged) -> None:
    """Above the image, the truth and the disparities; below the edge weights and the errors."""
    truth = one.pair.disparity
    assert truth is not None  # only pairs with ground truth are judged
    low, high = float(np.nanmin(truth)), float(np.nanmax(truth))
    left = one.pair.left
    common.panel(panels[0, 0], left if left.ndim == 3 else np.stack([left] * 3, -1), one.pair.name)
    common.panel(panels[0, 1], viz.colorize_disparity(truth, low, high), "true disparity")
    for p, name in enumerate(("right", "below")):
        axes = panels[1, p]
        drawn = axes.imshow(np.log(one.weights[p]), cmap="RdBu_r", vmin=-2.5, vmax=2.5)
        axes.set_title(
            f"learned weight, edge to the {name}" if p == 0 else f"edge {name}",
            loc="left",
            fontsize=11,
            fontweight="bold",
            pad=4,
        )
        axes.set_axis_off()
    bar = panels[1, 1].figure.colorbar(drawn, ax=panels[1, 1], shrink=0.8, pad=0.02)
    bar.set_ticks(
        [np.log(w) for w in (0.1, 0.3, 1.0, 3.0, 10.0)], labels=["0.1", "0.3", "1", "3", "10"]
    )
    names = {"start": "set by hand", "default": "weights of match()", "learned": "learned"}
    for column, (method, title) in enumerate(names.items(), start=2):
        labels = one.labels[method]
        common.panel(panels[0, column], viz.colorize_disparity(labels, low, high), title)
        errors = viz.error_map(labels, truth, 1.0, one.pair.nonocc)
        common.panel(panels[1, column], errors, "errors > 1 px", f"{one.bad[method]:.2f} %")


def _table(axes: Axes, folds: Sequence[Fold]) -> None:
    """The learned V of the first model, as an image."""
    table = folds[0].model.table().detach().numpy()
    drawn = axes.imshow(table, cmap="viridis")
    axes.figure.colorbar(drawn, ax=axes, shrink=0.7, pad=0.02)
    axes.set_title("learned V(l, m), in steps", loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("m")
    axes.set_ylabel("l")


def _profile(axes: Axes, folds: Sequence[Fold]) -> None:
    """V against the difference of the labels, before and after."""
    labels = len(folds[0].model.table())
    reach = min(16, labels - 1)
    difference = np.arange(-reach, reach + 1)
    axes.plot(difference, np.minimum(np.abs(difference), 4), color=_GREY, label="set by hand")
    for number, fold in enumerate(folds):
        with torch.no_grad():
            table = fold.model.table()
        mean = [float(table.diagonal(-int(d)).mean()) for d in difference]
        axes.plot(difference, mean, color=(_GREEN, _RED)[number % 2], label=f"model {number + 1}")
    common.tidy(axes, "V, mean over equal l - m", "l - m", "steps")
    axes.legend(frameon=False, fontsize=9)


def _course(axes: Axes, folds: Sequence[Fold]) -> None:
    """Training loss and, on the right, bad-1 of the held-out pairs."""
    other = axes.twinx()
    for number, fold in enumerate(folds):
        colour = (_GREEN, _RED)[number % 2]
        loss = np.array(fold.course.loss)
        window = min(15, len(loss))
        smooth = np.convolve(loss, np.ones(window) / window, "valid")
        axes.plot(np.arange(len(smooth)) + window, smooth, color=colour, alpha=0.35)
        other.plot(
            fold.course.checked,
            fold.course.held_out,
            "o-",
            color=colour,
            markersize=4,
            label=f"model {number + 1}",
        )
    common.tidy(axes, "training: loss (pale), held-out bad-1", "step", "loss, windows of 15")
    other.set_ylabel("held-out bad-1, %")
    other.spines["top"].set_visible(False)
    other.legend(frameon=False, fontsize=9)


def _shares(axes: Axes, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Bars of bad-1 by pair."""
    place = np.arange(len(rows))
    for number, (method, colour) in enumerate(_METHODS.items()):
        values = [row[method] for row in rows.values()]
        axes.bar(place + 0.27 * (number - 1), values, 0.25, color=colour, label=method)
    axes.set_xticks(place, list(rows), rotation=25)
    common.tidy(axes, "bad-1, non-occluded, held out", y="%")
    axes.legend(frameon=False, fontsize=9)
