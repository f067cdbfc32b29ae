# SPDX-License-Identifier: Apache-2.0
"""The picture of toy_mean_shift.py: how points travel, and how large their first gradients are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import _common as common
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from _toy_expected import Check
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from toy_mean_shift import Options

_SHOWN = 100  # trajectories
_VIEW = (2.3, 5.7)
_COLOURS = common.COLOURS[1:4]  # of the three Gaussians


def draw(
    alone: npt.NDArray[np.float64],
    paths: Mapping[str, npt.NDArray[np.float64]],
    found: Sequence[Check],
    options: Options,
    seed: int,
) -> Figure:
    """100 trajectories of mean shift alone and of every variant; gradients below."""
    figure = common.new_figure(16.0, 11.5)
    bands: Any = figure.subfigures(2, 1, height_ratios=[8.0, 3.0])
    top, bottom = bands
    panels = top.subplots(2, 4, sharex=True, sharey=True).ravel()
    count = alone.shape[1]
    chosen = np.sort(np.random.default_rng(seed).choice(count, min(_SHOWN, count), replace=False))
    _trajectories(panels[0], "mean shift alone, no loss", alone, chosen, None)
    for axes, (name, path) in zip(panels[1:], paths.items(), strict=True):
        title = name if name.startswith("no") else f"loss on {name}"
        _trajectories(axes, title, path, chosen, options.updates)
    panels[0].set_ylim(*_VIEW)
    for axes in panels[4:]:
        axes.set_xlabel("update, then further loops")
    for axes in panels[::4]:
        axes.set_ylabel("x")
    left, right = bottom.subplots(1, 2)
    _bars(left, found, "gradient", "mean absolute gradient at the first update")
    _bars(right, found, "error after", "mean squared error after five further loops", log=True)
    return figure


def _trajectories(
    axes: Axes,
    title: str,
    path: npt.NDArray[np.float64],
    chosen: npt.NDArray[np.int64],
    updates: int | None,
) -> None:
    """Points over time; where `updates` end, mean shift alone goes on."""
    third = path.shape[1] // 3
    for gaussian, colour in enumerate(_COLOURS):
        own = chosen[chosen // third == gaussian]
        axes.plot(path[:, own], color=colour, linewidth=0.6, alpha=0.6)
    for ideal in (3.0, 5.0):
        axes.axhline(ideal, color="#222222", linewidth=0.8, linestyle=":")
    if updates is not None:
        axes.axvspan(updates, len(path) - 1, color="#999999", alpha=0.18, linewidth=0)
    common.tidy(axes, title)
    thrown = int((path[:, chosen] > _VIEW[1] + 1).any(0).sum())
    if thrown:
        note = f"{thrown} thrown out of view, up to {path[:, chosen].max():.0f}"
        axes.annotate(note, (0.98, 0.02), xycoords="axes fraction", ha="right", va="bottom")


def _bars(axes: Axes, found: Sequence[Check], what: str, title: str, log: bool = False) -> None:
    """Ours with the spread of the runs, and the expected number as a line."""
    own = [check for check in found if check.what == what]
    for place, check in enumerate(own):
        axes.bar(place, check.ours, 0.6, yerr=check.spread, color="#30a5bf", capsize=4)
        axes.plot(
            [place - 0.42, place + 0.42], [check.expected] * 2, color="#222222", linewidth=1.6
        )
    if log:
        axes.set_yscale("log")
    axes.set_xticks(range(len(own)), [check.variant.replace(" of ", " of\n") for check in own])
    common.tidy(axes, f"{title} (line: expected)")


if __name__ == "__main__":
    raise SystemExit("this is a part of toy_mean_shift.py; run that")
