# SPDX-License-Identifier: Apache-2.0
"""The picture of filter_flow_deblur.py: held-out images before and after, and every gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import _common as common
import numpy as np

if TYPE_CHECKING:
    from filter_flow_deblur import Judged, Row
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

_WINDOW = 96  # pixels of an image that are shown


def draw(runs: Sequence[Mapping[str, Sequence[Judged]]], rows: Mapping[str, Row]) -> Figure:
    """Two held-out images of the first run by either kind of filters; all gains below."""
    kinds = list(rows)
    shown = range(min(2, len(runs[0][kinds[0]])))
    columns = 3 + len(kinds)
    figure = common.new_figure(3.1 * columns, 3.0 * len(shown) + 3.2)
    bands = figure.subfigures(len(shown) + 1, 1, squeeze=False)[:, 0]
    for band, number in zip(bands, shown, strict=False):
        panels = band.subplots(1, columns)
        ours = [runs[0][kind][number] for kind in kinds]
        window = _busiest(ours[0].pair.sharp)
        common.panel(
            panels[0], _rgb(ours[0].pair.blurred, window), "blurred", f"{ours[0].before:.1f} dB"
        )
        for axes, kind, one in zip(panels[1:], kinds, ours, strict=False):
            common.panel(axes, _rgb(one.out, window), kind, f"{one.after:.1f} dB")
        common.panel(panels[-2], _rgb(ours[0].pair.sharp, window), "sharp", ours[0].pair.name)
        flow = ours[0].flow[0, 0][window].numpy()
        panels[-1].imshow(flow, cmap="RdBu", vmin=-2.5, vmax=2.5)
        panels[-1].set_axis_off()
        panels[-1].set_title(
            "expected flow, x (softmax)", loc="left", fontsize=11, fontweight="bold"
        )
    _gains(bands[-1].subplots(), runs, kinds)
    return figure


def _busiest(image: Tensor) -> tuple[slice, slice]:
    """The window with the largest differences along rows."""
    change = image[0].diff(dim=2).abs().sum(0).numpy()
    side = min(_WINDOW, *change.shape)
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    y, x = np.unravel_index(int(boxes.argmax()), boxes.shape)
    return slice(int(y), int(y) + side), slice(int(x), int(x) + side)


def _rgb(image: Tensor, window: tuple[slice, slice]) -> Any:
    rows, columns = window
    return image[0, :, rows, columns].permute(1, 2, 0).clamp(0, 1).numpy()


def _gains(
    axes: Axes, runs: Sequence[Mapping[str, Sequence[Judged]]], kinds: Sequence[str]
) -> None:
    """Gain of every held-out image of every run; a line for the mean of a run."""
    place, ticks = 0.0, []
    for number, outcomes in enumerate(runs):
        for kind, colour in zip(kinds, common.COLOURS[3:], strict=False):
            gains = [one.after - one.before for one in outcomes[kind]]
            places = place + np.arange(len(gains)) * 0.18
            axes.bar(places, gains, 0.15, color=colour, label=None if number else kind)
            axes.plot([places[0] - 0.1, places[-1] + 0.1], [np.mean(gains)] * 2, color="#222222")
            ticks.append((float(places.mean()), f"run {number + 1}\n{kind}"))
            place = float(places[-1]) + 0.4
        place += 0.3
    axes.axhline(3.0, color="#555555", linewidth=0.8, linestyle=":")
    axes.set_xticks([at for at, _ in ticks], [text for _, text in ticks])
    common.tidy(axes, "gain of every held-out image (line: mean of a run; dotted: 3 dB)", y="dB")


if __name__ == "__main__":
    raise SystemExit("this is a part of filter_flow_deblur.py; run that")
