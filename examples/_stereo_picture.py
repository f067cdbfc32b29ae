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
    from learn_stereo import Fold, Score
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = ("teddy", "motorcycle", "cones", "venus")  # the first two that are there
_GREY, _BLUE, _ORANGE, _GREEN = (common.COLOURS[n] for n in (0, 3, 2, 4))
_METHODS = {
    "edges alike": _BLUE,
    "by hand": _GREY,
    "by hand, tuned": _ORANGE,
    "learned": _GREEN,
}
_WEIGHTS = (0.2, 0.5, 1.0, 2.0, 5.0)
_WIDTH = 18.0  # of the picture, inches


def draw(folds: Sequence[Fold], rows: Mapping[str, Mapping[str, Score]]) -> Figure:
    """Two held-out pairs by every method, then weights, V, training and shares."""
    known = [fold for name in _SHOWN for fold in folds if fold.pair.name == name]
    shown = (known or list(folds))[:2]
    columns = 2 + len(_METHODS)
    cells = [_WIDTH / columns * one.pair.left.shape[0] / one.pair.left.shape[1] for one in shown]
    figure = common.new_figure(_WIDTH, sum(2 * cell + 0.7 for cell in cells) + 4.2)
    bands = figure.subfigures(
        len(shown) + 1, 1, squeeze=False, height_ratios=[*(2 * c + 0.7 for c in cells), 4.2]
    )[:, 0]
    for band, one in zip(bands, shown, strict=False):
        _pair(band.subplots(2, columns), one)
    panels = bands[-1].subplots(1, 4, width_ratios=(1.0, 1.0, 1.1, 1.6))
    _curves(panels[0], folds)
    _profile(panels[1], folds)
    _course(panels[2], folds)
    _shares(panels[3], rows)
    return figure


def _pair(panels: Any, fold: Fold) -> None:
    """Above the image, the truth and the disparities; below the edge weights and the errors."""
    truth = fold.pair.disparity
    assert truth is not None  # only pairs with ground truth are judged
    low, high = float(np.nanmin(truth)), float(np.nanmax(truth))
    left = fold.pair.left
    common.panel(panels[0, 0], left if left.ndim == 3 else np.stack([left] * 3, -1), fold.pair.name)
    common.panel(panels[0, 1], viz.colorize_disparity(truth, low, high), "true disparity")
    for axes, method in zip(panels[1], ("by hand", "learned"), strict=False):
        weights = np.log(np.maximum(fold.answers[method].weights[0], _WEIGHTS[0]))
        drawn = axes.imshow(
            weights, cmap="magma", vmin=np.log(_WEIGHTS[0]), vmax=np.log(_WEIGHTS[-1])
        )
        axes.set_title(f"weights, {method}", loc="left", fontsize=11, fontweight="bold", pad=4)
        axes.set_title("edge to the right", loc="right", fontsize=10, color="#444444", pad=4)
        axes.set_axis_off()
    bar = panels[1, 1].figure.colorbar(
        drawn, ax=list(panels[1, :2]), location="bottom", shrink=0.5, aspect=40, pad=0.02
    )
    bar.set_ticks([np.log(w) for w in _WEIGHTS], labels=[f"{w:g}" for w in _WEIGHTS])
    for column, method in enumerate(_METHODS, start=2):
        one = fold.answers[method]
        common.panel(panels[0, column], viz.colorize_disparity(one.labels, low, high), method)
        errors = viz.error_map(one.labels, truth, 1.0, fold.pair.nonocc)
        common.panel(panels[1, column], errors, "errors > 1 px", f"{one.bad:.2f} %")


def _curves(axes: Axes, folds: Sequence[Fold]) -> None:
    """Weight against colour difference, learned and by hand, as a share of that at 0."""
    difference = torch.linspace(0.0, 60.0, 121)
    by_hand = 0.2 + 0.8 * np.exp(-difference.numpy() / 15.0)
    axes.plot(difference, by_hand, color=_GREY, label="by hand")
    for number, fold in enumerate(folds):
        curves = fold.model.edges.fine, fold.model.edges.coarse
        for curve, style, name in zip(
            curves, ("-", ":"), ("difference", "further out"), strict=True
        ):
            with torch.no_grad():
                share = torch.exp(curve(difference) - curve(difference[:1]))
            label = None if number else f"learned, {name}"
            axes.plot(difference, share, style, color=_GREEN, alpha=0.6, linewidth=1.0, label=label)
    common.tidy(axes, "Factors of the weight", "RMS colour difference, grey levels")
    axes.set_ylim(0.0)
    _legend_below(axes)


def _profile(axes: Axes, folds: Sequence[Fold]) -> None:
    """V against the difference of the labels."""
    labels = min(fold.pair.num_disparities for fold in folds)
    reach = min(12, labels - 1)
    difference = np.arange(-reach, reach + 1)
    axes.plot(difference, np.minimum(np.abs(difference), 4), color=_GREY, label="by hand")
    for number, fold in enumerate(folds):
        table = fold.model.table(labels).detach()
        mean = [float(table.diagonal(-int(d)).mean()) for d in difference]
        label = "learned, each model" if number == 0 else None
        axes.plot(difference, mean, color=_GREEN, alpha=0.5, linewidth=1.0, label=label)
    common.tidy(axes, "V, mean over equal l - m", "l - m", "steps")
    _legend_below(axes)


def _course(axes: Axes, folds: Sequence[Fold]) -> None:
    """bad-1 of the held-out pairs during training, as a share of the start's."""
    held_out = np.array([fold.course.held_out for fold in folds])
    for number, one in enumerate(held_out / held_out[:, :1]):
        axes.plot(one, color=_GREY, linewidth=0.9, label=None if number else "each pair")
    mean = held_out.mean(0)
    axes.plot(mean / mean[0], "o-", color=_GREEN, markersize=4, label="their mean")
    axes.axhline(1.0, color="#555555", linewidth=0.8)
    common.tidy(axes, "held-out bad-1 in training", "step", "share of the start's")
    _legend_below(axes)


def _shares(axes: Axes, rows: Mapping[str, Mapping[str, Score]]) -> None:
    """Bars of bad-1 by pair."""
    place = np.arange(len(rows))
    for number, (method, colour) in enumerate(_METHODS.items()):
        values = [row[method].bad for row in rows.values()]
        axes.bar(place + 0.21 * (number - 1.5), values, 0.19, color=colour, label=method)
    axes.set_xticks(place, list(rows), rotation=25)
    common.tidy(axes, "bad-1, non-occluded, held out", y="%")
    _legend_below(axes, columns=4)


def _legend_below(axes: Axes, columns: int = 3) -> None:
    """Where no curve can be."""
    axes.legend(
        frameon=False, fontsize=9, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, -0.17)
    )
