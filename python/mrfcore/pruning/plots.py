# SPDX-License-Identifier: Apache-2.0
"""Pictures of what was pruned, like Figs. 5.3 and 5.16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mrfcore._figures import _COLOURS, _new_figure, _save
from mrfcore._files import PathLike
from mrfcore.pruning.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_reports"]

_BLUE, _PALE, _RED = "#2e5eaa", "#b9c8e2", "#d1495b"
_GREY = "#c4c4c4"
_MANY = 30  # layers: more have no room for their names


def plot_reports(reports: Mapping[str, Report], path: PathLike | None = None) -> Figure:
    """Compare prunings of one network: importance of all neurons, and how many each layer keeps.

    A panel for each report that has scores: neurons of all layers side by side, those pruned
    pale, with the mean of each layer in red. Below, the neurons of each layer, before and after.

    Args:
        reports: by name, of one network.
        path: where to write the picture (.png, .pdf, .svg, ...); None writes nothing.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: no reports, reports of different networks, or an unknown suffix.
    """
    if not reports:
        raise ValueError("reports: expected at least one")
    layers = [[layer.name for layer in report.graph.layers] for report in reports.values()]
    if any(names != layers[0] for names in layers):
        raise ValueError("reports: expected those of one network, got others")
    scored = {name: report for name, report in reports.items() if report.scores is not None}
    heights = [2.6] * len(scored) + [3.6]
    figure = _new_figure(11.0, sum(heights))
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, report) in zip(panels, scored.items(), strict=False):
        _importance(axes, name, report)
    _counts(panels[-1], reports)
    if path is not None:
        _save(figure, path)
    return figure


def _importance(axes: Axes, name: str, report: Report) -> None:
    assert report.scores is not None
    start = 0
    middles = []
    for layer in report.graph.layers:
        scores = report.scores[layer.name].cpu().numpy()
        kept = report.masks[layer.name].cpu().numpy()
        places = start + np.arange(len(scores))
        for chosen, colour in ((~kept, _PALE), (kept, _BLUE)):
            axes.vlines(places[chosen], 0, scores[chosen], color=colour, linewidth=0.7)
        mean = float(scores.mean())
        axes.hlines(mean, start, start + len(scores) - 1, color=_RED, linewidth=1.6, zorder=3)
        middles.append(start + (len(scores) - 1) / 2)
        start += len(scores)
        axes.axvline(start - 0.5, color="#e3e3e3", linewidth=0.6, zorder=0)
    axes.set_xlim(-0.5, start - 0.5)
    axes.set_ylim(0, 1.08 * _highest(report))
    axes.set_xticks(middles, [str(number + 1) for number in range(len(middles))], fontsize=8)
    _thin_out(axes, len(middles))
    axes.set_ylabel("importance")
    axes.set_title(f"{name}: neurons by layer", loc="left", fontsize=10, fontweight="bold")
    keys: dict[str, Any] = {"kept": _BLUE, "pruned": _PALE, "mean of the layer": _RED}
    for label, colour in keys.items():
        axes.plot([], [], color=colour, linewidth=3, label=label)
    _legend(axes, 3)
    _frame(axes)


def _highest(report: Report) -> float:
    """Of the layers that can be pruned: the last one's may be far above, and do not count."""
    assert report.scores is not None
    layers = [layer for layer in report.graph.layers if layer.fixed is None]
    layers = layers or list(report.graph.layers)
    return max(float(report.scores[layer.name].max()) for layer in layers) or 1.0


def _counts(axes: Axes, reports: Mapping[str, Report]) -> None:
    first = next(iter(reports.values()))
    totals = np.array([layer.out_channels for layer in first.graph.layers])
    places = np.arange(len(totals))
    axes.bar(places, totals, width=0.86, color="#e6e6e6", label="full network", zorder=1)
    width = 0.78 / len(reports)
    for number, (name, report) in enumerate(reports.items()):
        kept = np.array([row.kept for row in report.layers])
        shift = (number - (len(reports) - 1) / 2) * width
        colour = _COLOURS[(number + 2) % len(_COLOURS)]
        axes.bar(places + shift, kept, width=width * 0.94, color=colour, label=name, zorder=2)
        if len(places) * len(reports) <= _MANY:
            for place, count in zip(places + shift, kept, strict=True):
                axes.text(
                    place, count, f"{count}", ha="center", va="bottom", fontsize=7.5, zorder=3
                )
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(bottom=0.5)
    names = [layer.name for layer in first.graph.layers]
    short = max(map(len, names)) <= 14 and len(names) <= _MANY
    labels = names if short else [str(number + 1) for number in places]
    axes.set_xticks(
        places, labels, fontsize=8, rotation=35 if short else 0, ha="right" if short else "center"
    )
    if not short:
        _thin_out(axes, len(places))
        axes.set_xlabel("layer")
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_ylabel("neurons")
    axes.set_title("Neurons that each layer keeps", loc="left", fontsize=10, fontweight="bold")
    _legend(axes, 4)
    _frame(axes)


def _legend(axes: Axes, columns: int) -> None:
    """Above the panel, right of the title: below it would cover something."""
    place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.99)}
    axes.legend(fontsize=8, frameon=False, ncols=columns, borderaxespad=0.2, **place)


def _thin_out(axes: Axes, count: int) -> None:
    """Labels of every second, fifth, ... layer where there are many."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 10**6) if count <= _MANY * step)
    for number, label in enumerate(axes.get_xticklabels()):
        label.set_visible((number + 1) % step == 0 or step == 1)


def _frame(axes: Axes) -> None:
    axes.set_axisbelow(True)
    axes.grid(True, axis="y", color="#dddddd", linewidth=0.6)
    axes.tick_params(axis="x", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
