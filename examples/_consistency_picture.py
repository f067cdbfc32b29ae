# SPDX-License-Identifier: Apache-2.0
"""The picture of logit_consistency.py: images by every method, and scores by superpixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import _common as common
import numpy as np
import numpy.typing as npt

from mrfcore import superpixels, viz

if TYPE_CHECKING:
    from logit_consistency import Case, Row, Run
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(
    runs: Sequence[Run], rows: Mapping[str, Row], ids: Sequence[npt.NDArray[np.int64]]
) -> Figure:
    """Three images of the first run; the accuracy for every number of superpixels below."""
    first, methods = runs[0], list(rows)
    wide = [n for n, case in enumerate(first.cases) if case.band.shape[0] < case.band.shape[1]]
    shown = (wide + [n for n in range(len(first.cases)) if n not in wide])[:3]
    columns = 2 + len(methods)
    cells = [18.0 / columns * _ratio(first.cases[n]) + 0.35 for n in shown]
    figure = common.new_figure(18.0, sum(cells) + 4.0)
    bands = figure.subfigures(len(shown) + 1, 1, squeeze=False, height_ratios=[*cells, 4.0])[:, 0]
    for part, number in zip(bands, shown, strict=False):
        panels = part.subplots(1, columns)
        case = first.cases[number]
        means = superpixels.mean_colours(case.scene.image, ids[number])
        common.panel(panels[0], means, f"SLIC: {case.scene.name}")
        common.panel(panels[1], _regions(case, case.scene.regions), "true regions")
        for axes, name in zip(panels[2:], methods, strict=True):
            near = f"{100 * first.scores[number][name].near:.1f} near boundaries"
            common.panel(axes, _regions(case, first.labels[number][name]), name, near)
    left, right = bands[-1].subplots(1, 2)
    _curve(left, runs, rows, "everywhere", "all pixels")
    _curve(right, runs, rows, "near", "pixels near boundaries")
    return figure


def _ratio(case: Case) -> float:
    height, width = case.band.shape
    return float(height / width)


def _regions(case: Case, labels: npt.NDArray[np.int64]) -> Any:
    grey = np.repeat(case.scene.image.mean(2, keepdims=True), 3, axis=2).astype(np.uint8)
    known = np.where(case.scene.regions >= 0, labels, -1)
    return viz.label_overlay(grey, known, 0.65, boundaries=False)


def _curve(axes: Axes, runs: Sequence[Run], rows: Mapping[str, Row], what: str, title: str) -> None:
    """Squares and SLIC over their number, with the spread of the runs; the others as lines."""
    nums = list(runs[0].curve)
    for place, (name, colour) in enumerate((("squares", "#edae49"), ("SLIC", "#2e5eaa"))):
        values = np.array([[getattr(one.curve[n][place], what) for n in nums] for one in runs])
        spread = 100 * values.std(0, ddof=1) if len(runs) > 1 else None
        axes.errorbar(nums, 100 * values.mean(0), spread, fmt="-o", color=colour, label=name)
    for (name, row), style in zip(
        [(n, r) for n, r in rows.items() if n not in ("squares", "SLIC")], (":", "--"), strict=True
    ):
        axes.axhline(getattr(row, what), color="#555555", linestyle=style, label=name)
    axes.set_xscale("log")
    axes.set_xticks(nums, [str(n) for n in nums])
    axes.minorticks_off()
    axes.legend(frameon=False)
    common.tidy(axes, f"right labels, {title}", "superpixels", "%")


if __name__ == "__main__":
    raise SystemExit("this is a part of logit_consistency.py; run that")
