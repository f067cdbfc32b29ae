# SPDX-License-Identifier: Apache-2.0
"""Matplotlib figures (public as `mrfcore.viz`): convergence of solvers, and their comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from mrfcore import metrics
from mrfcore._files import PathLike, atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from mrfcore.datasets.pair import StereoPair

_COLUMNS = 4
_WIDTH = 16.0  # inches
_HEADING = 0.55  # inches
_DPI = 110
_COLOURS = (
    "#0b6e4f", "#d1495b", "#2e5eaa", "#edae49", "#7b4fa3", "#30a5bf", "#8c6d46", "#4a4e69",
    "#b5179e", "#6a994e",
)  # fmt: skip


class TraceLike(Protocol):
    """What a convergence plot needs of a solve, as `Result.trace` has it: arrays `[K]`."""

    @property
    def energy(self) -> npt.NDArray[np.float64]:
        """Energy after each iteration."""

    @property
    def lower_bound(self) -> npt.NDArray[np.float64] | None:
        """Lower bound after each iteration, or None."""

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """Seconds since the start, after each iteration."""


@dataclass(frozen=True, eq=False)
class SolverOutcome:
    """One solver's entry in `comparison_figure`.

    Attributes:
        disparity: `[H, W]`, pixels, NaN = invalid.
        trace: its course, for the convergence plots; None leaves it out there.
        note: a short line for the title, such as its energy and time.
    """

    disparity: npt.NDArray[np.floating[Any]]
    trace: TraceLike | None = None
    note: str = ""


def _save(figure: Figure, path: PathLike) -> None:
    """Write a figure whole or not at all; the suffix chooses the format."""
    suffix = Path(path).suffix.lower().lstrip(".")
    known = figure.canvas.get_supported_filetypes()
    if suffix not in known:
        raise ValueError(f"cannot write {path}: unknown suffix, expected one of {sorted(known)}")
    with atomic_file(path) as file:
        figure.savefig(file, format=suffix)


def _new_figure(width: float, height: float) -> Figure:
    """A figure with its own Agg canvas: pyplot's backend and list of figures stay as they are."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


# --- convergence ------------------------------------------------------------------------------


def convergence_plot(
    traces: Mapping[str, TraceLike],
    path: PathLike | None = None,
    *,
    ax: Axes | None = None,
    x: Literal["iteration", "seconds"] = "iteration",
    title: str | None = None,
) -> Axes:
    """Plot energies (solid) and lower bounds (dashed) of several solvers on one scale.

    The vertical axis is the distance from the best lower bound of all in percent, logarithmic
    away from zero on both sides; without any bound, from the lowest energy. The optimum lies in
    the shaded band between the best bound and the lowest energy.

    Args:
        traces: by solver name, each with arrays `[K]`.
        path: where to write the plot (.png, .pdf, .svg, ...); None writes nothing.
        ax: axes to draw into; None makes a figure.
        x: count iterations, or seconds (logarithmic).
        title: of the axes; None for none.

    Returns:
        The axes, with their figure at `.figure`.

    Raises:
        ValueError: no traces, traces of a batch, an unknown x or file suffix.
    """
    if x not in ("iteration", "seconds"):
        raise ValueError(f"x is {x!r}, expected 'iteration' or 'seconds'")
    _check_traces(traces)
    axes = _new_figure(8.0, 5.0).add_subplot() if ax is None else ax
    bounds = [t.lower_bound for t in traces.values() if t.lower_bound is not None]
    lowest = min(float(np.min(t.energy)) for t in traces.values())
    best_bound = max((float(np.nanmax(b)) for b in bounds), default=None)
    zero = lowest if best_bound is None else best_bound
    for number, (name, trace) in enumerate(traces.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        at = trace.seconds if x == "seconds" else np.arange(1, len(trace.energy) + 1)
        style: dict[str, Any] = {"color": colour, "linewidth": 1.8, "zorder": 3}
        if len(at) == 1:
            style |= {"marker": "o", "markersize": 4}
        axes.plot(at, _percent(trace.energy, zero), label=name, **style)
        if trace.lower_bound is not None:
            axes.plot(at, _percent(trace.lower_bound, zero), linestyle=(0, (4, 2)), **style)
    gap = float(_percent(np.array([lowest]), zero)[0])
    _decorate(axes, x, best_bound is not None, gap)
    if title:
        axes.set_title(title, loc="left", fontweight="bold")
    if path is not None:
        figure: Any = axes.figure
        _save(figure, path)
    return axes


def _check_traces(traces: Mapping[str, TraceLike]) -> None:
    if not traces:
        raise ValueError("traces is empty, expected at least one solver's trace")
    for name, trace in traces.items():
        shape = np.shape(trace.energy)
        if len(shape) != 1 or not shape[0]:
            raise ValueError(
                f"traces[{name!r}].energy has shape {shape}, expected [K], K >= 1 "
                "(of a batch, plot one item)"
            )


def _percent(values: npt.ArrayLike, zero: float) -> npt.NDArray[np.float64]:
    scale = abs(zero) if zero else 1.0
    return np.asarray(100.0 * (np.asarray(values, np.float64) - zero) / scale)


def _decorate(axes: Axes, x: str, bounded: bool, gap: float) -> None:
    """Scales, labels, grid, and the band that holds the optimum."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    linear = 10.0 ** math.floor(math.log10(min(max(gap, 0.01), 1.0)))
    axes.set_yscale("symlog", linthresh=linear, linscale=0.7)
    signed = FuncFormatter(lambda value, _: f"{value:+.4g} %" if value else "0")
    axes.yaxis.set_major_formatter(signed)
    if x == "seconds":
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        # Over few decades their powers would leave the axis all but bare.
        steps = (1.0, 2.0, 5.0) if high < 1000 * low else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_minor_formatter(NullFormatter())  # its labels would collide with ours
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if bounded:
        axes.axhspan(0.0, gap, color="#f3d9a4", alpha=0.8, linewidth=0, zorder=1)
        axes.axhline(0.0, color="#555555", linewidth=0.8, zorder=2)
        place: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "ha": "left",
            "va": "center",
        }
        axes.text(0.01, gap / 2, "the optimum lies here", fontsize=9, color="#7a5a1e", **place)
    axes.set_xlabel("seconds" if x == "seconds" else "iteration")
    reference = "best lower bound" if bounded else "lowest energy"
    axes.set_ylabel(f"above the {reference}")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7, zorder=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    style: dict[str, Any] = {"fontsize": 9, "ncols": 2, "framealpha": 0.85, "edgecolor": "none"}
    axes.legend(loc="lower right" if bounded else "best", **style)  # bounds rise: room below


# --- comparison -------------------------------------------------------------------------------


def comparison_figure(
    pair: StereoPair,
    outcomes: Mapping[str, SolverOutcome],
    path: PathLike | None = None,
    *,
    threshold: float = 1.0,
    title: str | None = None,
) -> Figure:
    """Compare solvers on one pair: images, convergence, disparities and error maps.

    Args:
        pair: the images, and the ground truth if there is one.
        outcomes: by solver name, in the order they are shown.
        path: where to write the figure (.png, .pdf, .svg, ...); None writes nothing.
        threshold: errors above it are bad, pixels.
        title: heading; None takes the pair's name.

    Returns:
        The Matplotlib figure, `.savefig(...)` writes it again elsewhere.

    Raises:
        ValueError: no outcomes, disparities of another size than the images, unknown suffix.
    """
    _check_outcomes(pair, outcomes)
    traces = {name: o.trace for name, o in outcomes.items() if o.trace is not None}
    height, width = pair.left.shape[:2]
    cell = _WIDTH / _COLUMNS * height / width + 0.35  # inches, with room for a title
    names = list(outcomes)
    blocks = [names[start : start + _COLUMNS] for start in range(0, len(names), _COLUMNS)]
    rows_each = 1 if pair.disparity is None else 2
    plots = [4.2] if traces else []
    heights = [cell, *plots, *[rows_each * cell] * len(blocks)]
    figure = _new_figure(_WIDTH, sum(heights) + _HEADING)
    # A band for each kind of panel, so that axis labels of one do not shift the others.
    ratios = [_HEADING, *heights]
    grid = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)
    heading, *bands = grid[:, 0]
    heading.text(0.004, 0.4, title or pair.name, fontsize=18, fontweight="bold", va="center")
    _inputs(bands[0], pair, threshold)
    if traces:
        left, right = bands[1].subplots(1, 2)
        convergence_plot(traces, ax=left, title="Energy (solid) and lower bound (dashed)")
        convergence_plot(traces, ax=right, x="seconds", title="The same against time")
        right.get_legend().remove()  # one is enough, and here it would cover the curves
    for band, block in zip(bands[1 + len(plots) :], blocks, strict=True):
        panels = band.subplots(rows_each, _COLUMNS, squeeze=False)
        for column in range(_COLUMNS):
            if column < len(block):
                name = block[column]
                _solver(panels[:, column], pair, name, outcomes[name], threshold)
            else:
                for axes in panels[:, column]:
                    axes.set_axis_off()
    if path is not None:
        _save(figure, path)
    return figure


def _check_outcomes(pair: StereoPair, outcomes: Mapping[str, SolverOutcome]) -> None:
    if not outcomes:
        raise ValueError("outcomes is empty, expected at least one solver's outcome")
    for name, outcome in outcomes.items():
        shape = np.shape(outcome.disparity)
        if shape != pair.left.shape[:2]:
            raise ValueError(
                f"outcomes[{name!r}].disparity has shape {shape}, expected {pair.left.shape[:2]}"
            )


def _range(pair: StereoPair) -> tuple[float, float]:
    """Disparities of the first and the last colour, the same in all panels."""
    if pair.disparity is not None and np.isfinite(pair.disparity).any():
        return float(np.nanmin(pair.disparity)), float(np.nanmax(pair.disparity))
    return 0.0, float(pair.num_disparities - 1)


def _panel(axes: Axes, image: npt.NDArray[np.uint8], title: str, note: str = "") -> None:
    grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.ndim == 2 else {}
    axes.imshow(image, interpolation="antialiased", **grey)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=4)
    if note:
        axes.set_title(note, loc="right", fontsize=9.5, color="#444444", pad=4)
    axes.set_axis_off()


def _inputs(band: SubFigure, pair: StereoPair, threshold: float) -> None:
    """The first row: both images, the true disparities, and what the colours mean."""
    from mrfcore.viz import colorize_disparity

    low, high = _range(pair)
    grid = band.add_gridspec(1, _COLUMNS)
    _panel(band.add_subplot(grid[0, 0]), pair.left, "left image")
    _panel(band.add_subplot(grid[0, 1]), pair.right, "right image")
    if pair.disparity is not None:
        truth = colorize_disparity(pair.disparity, low, high)
        note = "" if np.isfinite(pair.disparity).all() else "black: unknown"
        _panel(band.add_subplot(grid[0, 2]), truth, "true disparity", note)
    _key(band, grid[0, 3], low, high, pair.disparity is not None, threshold)


def _key(
    band: SubFigure, place: Any, low: float, high: float, truth: bool, threshold: float
) -> None:
    """Colour scales of the disparities and of the errors."""
    from mrfcore.viz import colorize_disparity, error_map

    rows = place.subgridspec(5, 3, width_ratios=(1, 12, 1), height_ratios=(2, 1, 2, 1, 2))
    ramp = np.linspace(low, high, 256)[None]
    axes = band.add_subplot(rows[1, 1])
    axes.imshow(colorize_disparity(ramp), aspect="auto", extent=(low, high, 0, 1))
    axes.set_yticks([])
    axes.set_title("disparity, pixels", fontsize=10, loc="left")
    if truth:
        most = 5.0 * threshold
        errors = np.linspace(0.0, most, 256)[None]
        axes = band.add_subplot(rows[3, 1])
        picture = error_map(errors, np.zeros_like(errors), threshold)
        axes.imshow(picture, aspect="auto", extent=(0, most, 0, 1))
        axes.set_yticks([])
        axes.set_xticks([0.0, threshold, 2 * threshold, 4 * threshold])
        axes.set_title("error, pixels (pale: hidden in the right image)", fontsize=10, loc="left")
        note = "grey: no ground truth     blue: no prediction"
        axes.text(0.0, -1.6, note, transform=axes.transAxes, fontsize=10, va="top")


def _solver(
    panels: npt.NDArray[Any], pair: StereoPair, name: str, outcome: SolverOutcome, threshold: float
) -> None:
    """One solver's disparities and, below, its errors."""
    from mrfcore.viz import colorize_disparity, error_map

    picture = colorize_disparity(outcome.disparity, *_range(pair))
    _panel(panels[0], picture, name, outcome.note)
    if pair.disparity is None:
        return
    errors = error_map(outcome.disparity, pair.disparity, threshold, pair.nonocc)
    shares = [
        f"{metrics.bad_pixels(outcome.disparity, pair.disparity, threshold, mask):.1f} % {region}"
        for region, mask in pair.masks.items()
    ]
    _panel(panels[1], errors, f"errors > {threshold:g} px", ", ".join(shares))
