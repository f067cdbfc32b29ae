# SPDX-License-Identifier: Apache-2.0
"""Colours say what they are said to say; figures hold what was plotted and are written whole."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mrfcore import viz
from mrfcore.datasets import StereoPair
from mrfcore.scene import render_stereo_scene

NAN = np.nan


@dataclass
class Trace:
    energy: np.ndarray
    lower_bound: np.ndarray | None
    seconds: np.ndarray


def trace(energy: list[float], bound: list[float] | None = None) -> Trace:
    seconds = 0.01 * np.arange(1, len(energy) + 1)
    return Trace(np.array(energy), None if bound is None else np.array(bound), seconds)


# --- disparities ------------------------------------------------------------------------------


def test_turbo_runs_from_blue_to_red() -> None:
    rgb = viz.colorize_disparity(np.linspace(3, 9, 7)[None])
    assert rgb.dtype == np.uint8
    assert rgb.shape == (1, 7, 3)
    # Turbo's published first and last colours (Mikhailov 2019, rounded to 8 bits).
    np.testing.assert_array_equal(rgb[0, 0], [48, 18, 59])
    np.testing.assert_array_equal(rgb[0, -1], [122, 4, 2])
    middle = rgb[0, 3].astype(int)
    assert middle[1] > middle[0]
    assert middle[1] > middle[2]  # green between


def test_range_clamps_and_invalid_has_its_own_colour() -> None:
    rgb = viz.colorize_disparity([[-5.0, 0.0, 10.0, 99.0, NAN, np.inf]], 0, 10, invalid=(9, 8, 7))
    np.testing.assert_array_equal(rgb[0, 0], rgb[0, 1])
    np.testing.assert_array_equal(rgb[0, 2], rgb[0, 3])
    np.testing.assert_array_equal(rgb[0, 4:], [[9, 8, 7]] * 2)
    assert (viz.colorize_disparity([[NAN]]) == 0).all()
    assert viz.colorize_disparity([[5, 5]]).shape == (1, 2, 3)  # a constant integer map


def test_disparity_arguments() -> None:
    with pytest.raises(ValueError, match=r"disparity has shape \(3,\), expected \[H, W\]"):
        viz.colorize_disparity([1, 2, 3])
    with pytest.raises(ValueError, match=r"vmin is 5.* and vmax is 2"):
        viz.colorize_disparity([[1.0, 2.0]], vmin=5)
    with pytest.raises(TypeError, match="complex"):
        viz.colorize_disparity(np.zeros((2, 2), complex))


# --- errors -----------------------------------------------------------------------------------


def test_error_map_by_hand() -> None:
    gt = np.array([[10.0, 10, 10, 10, 10, 10, NAN, 10]])
    pred = np.array([[10.0, 11, 11.001, 14, 99, NAN, 10, 5]])
    rgb = viz.error_map(pred, gt, threshold=1.0)[0].astype(int)
    np.testing.assert_array_equal(rgb[0], [250, 250, 250])  # exact
    np.testing.assert_array_equal(rgb[1], [205, 215, 210])  # the threshold itself is correct
    assert rgb[2][0] - rgb[2][2] > 100  # just above: yellow
    np.testing.assert_array_equal(rgb[3], rgb[4])  # four thresholds and more: dark red
    np.testing.assert_array_equal(rgb[3], [110, 0, 20])
    assert rgb[5][2] > rgb[5][0] + 100  # no prediction: blue
    assert rgb[6].std() < 5  # unknown: grey
    np.testing.assert_array_equal(rgb[7], rgb[4])  # the sign does not matter


def test_hidden_errors_are_paler() -> None:
    gt, pred = np.zeros((1, 4)), np.array([[0.0, 9.0, 9.0, NAN]])
    plain = viz.error_map(pred, gt)[0].astype(int)
    rgb = viz.error_map(pred, gt, nonocc=np.array([[False, True, False, False]]))[0].astype(int)
    np.testing.assert_array_equal(rgb[:2], plain[:2])
    assert (rgb[2] > plain[2]).all()
    assert rgb[3].sum() > plain[3].sum()


def test_error_map_arguments() -> None:
    ones = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"pred has shape \(3, 2\), expected \(2, 3\)"):
        viz.error_map(ones.T, ones)
    with pytest.raises(ValueError, match=r"nonocc has shape \(2,\)"):
        viz.error_map(ones, ones, nonocc=[1, 1])
    with pytest.raises(ValueError, match="threshold is 0"):
        viz.error_map(ones, ones, 0)


# --- labels -----------------------------------------------------------------------------------


def test_label_overlay_blends_and_outlines() -> None:
    image = np.full((4, 4), 100, np.uint8)
    labels = np.zeros((4, 4), int)
    labels[:, 2:] = 1
    labels[0, 0] = -1
    colours = [[200, 0, 0], [0, 200, 0]]
    rgb = viz.label_overlay(image, labels, 0.5, boundaries=False, colours=colours)
    np.testing.assert_array_equal(rgb[2, 0], [150, 50, 50])
    np.testing.assert_array_equal(rgb[2, 3], [50, 150, 50])
    np.testing.assert_array_equal(rgb[0, 0], [100, 100, 100])
    outlined = viz.label_overlay(image, labels, 0.5, colours=colours)
    np.testing.assert_array_equal(outlined[2, 1], np.rint([37.5, 12.5, 12.5]))
    np.testing.assert_array_equal(outlined[2, 2], rgb[2, 2])
    np.testing.assert_array_equal(
        viz.label_overlay(image, labels, 0, boundaries=False)[..., 0], image
    )


def test_palette_has_distinct_colours() -> None:
    image = np.zeros((1, 24), np.uint8)
    rgb = viz.label_overlay(image, np.arange(24)[None], 1.0, boundaries=False)[0].astype(int)
    apart = np.abs(rgb[:, None] - rgb[None]).max(axis=2)
    assert apart[~np.eye(24, dtype=bool)].min() > 10
    assert (rgb.max(axis=1) > 120).all()


def test_label_overlay_arguments() -> None:
    image, labels = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), int)
    for bad, error, message in (
        ((image, labels.T), ValueError, r"labels has shape \(3, 2\)"),
        ((image, labels.astype(float)), TypeError, "labels has dtype float64"),
        ((image.astype(float), labels), TypeError, "image has dtype float64"),
        ((image, labels, 1.5), ValueError, r"alpha is 1\.5"),
    ):
        with pytest.raises(error, match=message):
            viz.label_overlay(*bad)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"colours has shape \(1, 3\), expected \[L, 3\] with L >= 2"
    ):
        viz.label_overlay(image, labels + 1, colours=[[0, 0, 0]])


# --- convergence ------------------------------------------------------------------------------


def test_convergence_is_relative_to_the_best_bound(tmp_path: Path) -> None:
    traces = {
        "a": trace([220.0, 150, 110], [50.0, 90, 100]),
        "b": trace([300.0, 250], [10.0, 20]),
        "c": trace([130.0]),
    }
    axes = viz.convergence_plot(traces, tmp_path / "plot.png")
    drawn = {(line.get_label(), line.get_linestyle()): line for line in axes.get_lines()}
    energies = {name: line for (name, _), line in drawn.items() if name in traces}
    # Percent above the best bound, 100.
    np.testing.assert_allclose(energies["a"].get_ydata(), [120, 50, 10])
    np.testing.assert_allclose(energies["a"].get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(energies["c"].get_ydata(), [30])
    bounds = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert len(bounds) == 2
    np.testing.assert_allclose(bounds[0].get_ydata(), [-50, -10, 0])
    assert axes.get_ylabel() == "above the best lower bound"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]
    with Image.open(tmp_path / "plot.png") as image:
        assert min(image.size) > 400
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


def test_convergence_without_bounds_and_against_time() -> None:
    axes = viz.convergence_plot({"a": trace([4.0, 2.0]), "b": trace([3.0, 3.0])}, x="seconds")
    line = axes.get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), [100, 0])
    np.testing.assert_allclose(line.get_xdata(), [0.01, 0.02])
    assert axes.get_ylabel() == "above the lowest energy"
    viz.convergence_plot({"zero": trace([0.0, 0.0], [0.0, 0.0])})  # nothing to divide by


def test_convergence_draws_into_given_axes() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert viz.convergence_plot({"a": trace([2.0, 1.0])}, ax=axes, title="Here") is axes
    assert axes.get_title(loc="left") == "Here"


def test_convergence_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="traces is empty"):
        viz.convergence_plot({})
    batch = Trace(np.ones((3, 2)), None, np.ones(3))
    with pytest.raises(
        ValueError, match=r"traces\['a'\]\.energy has shape \(3, 2\), expected \[K\]"
    ):
        viz.convergence_plot({"a": batch})
    with pytest.raises(ValueError, match="x is 'time', expected 'iteration' or 'seconds'"):
        viz.convergence_plot({"a": trace([1.0])}, x="time")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"plot\.xyz: unknown suffix"):
        viz.convergence_plot({"a": trace([1.0])}, tmp_path / "plot.xyz")
    assert list(tmp_path.iterdir()) == []


# --- comparison -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair() -> StereoPair:
    return render_stereo_scene(48, 64, 12)


def titles(figure: Any) -> list[str]:
    return [
        axes.get_title(loc=side)
        for axes in figure.get_axes()
        for side in ("left", "right")
        if axes.get_title(loc=side)
    ]


def test_comparison_figure(pair: StereoPair, tmp_path: Path) -> None:
    assert pair.disparity is not None
    off = pair.disparity + np.where(np.arange(64) < 16, 2.0, 0.0)  # a quarter is wrong
    outcomes = {
        f"solver {k}": viz.SolverOutcome(off, trace([9.0, 8.0], [5.0, 6.0]), f"E = {k}")
        for k in range(5)
    }
    path = tmp_path / "comparison.png"
    figure = viz.comparison_figure(pair, outcomes, path, title="A title")
    shown = titles(figure)
    assert {"left image", "right image", "true disparity"} <= set(shown)
    assert {f"solver {k}" for k in range(5)} <= set(shown)
    assert {f"E = {k}" for k in range(5)} <= set(shown)
    assert sum(title.startswith("25.0 % all, ") for title in shown) == 5
    with Image.open(path) as image:
        assert image.width == 1760
        colours = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert len(np.unique(colours, axis=0)) > 1000
    assert [p.name for p in tmp_path.iterdir()] == ["comparison.png"]


def test_comparison_without_truth_or_traces(pair: StereoPair) -> None:
    bare = StereoPair(pair.left[..., 0], pair.right[..., 0], None, None, None, 12, "bare")
    disparity = np.full((48, 64), NAN, np.float32)
    figure = viz.comparison_figure(bare, {"only": viz.SolverOutcome(disparity)})
    shown = titles(figure)
    assert "true disparity" not in shown
    assert "only" in shown
    assert not any("errors" in title for title in shown)


def test_comparison_arguments(pair: StereoPair) -> None:
    with pytest.raises(ValueError, match="outcomes is empty"):
        viz.comparison_figure(pair, {})
    with pytest.raises(
        ValueError, match=r"outcomes\['a'\]\.disparity has shape \(2, 2\), expected"
    ):
        viz.comparison_figure(pair, {"a": viz.SolverOutcome(np.zeros((2, 2)))})


def test_pyplot_is_left_alone() -> None:
    code = (
        "import sys, numpy as np; from types import SimpleNamespace as NS; from mrfcore import viz;"
        "viz.convergence_plot({'a': NS(energy=np.ones(2), lower_bound=None, seconds=np.ones(2))});"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("first", "last"),
    [(0.034, 0.33), (0.02, 0.06), (0.03, 0.037), (0.5, 12), (1e-3, 0.9), (1e-4, 200), (0.2, 0.2)],
)
def test_the_ticks_of_the_time_axis_do_not_collide(first: float, last: float) -> None:
    energies = np.linspace(200.0, 100.0, 5)
    trace = Trace(energies, None, np.geomspace(first, last, 5))
    axes = viz.convergence_plot({"TRWP": trace}, x="seconds")
    figure = axes.figure
    figure.canvas.draw()
    low, high = axes.get_xlim()
    places = []
    for minor in (False, True):
        ticks = axes.get_xticks(minor=minor)
        for tick, label in zip(ticks, axes.get_xticklabels(minor=minor), strict=True):
            if label.get_text() and low <= tick <= high:
                assert float(label.get_text()) == pytest.approx(tick)  # no powers in TeX
                places.append(label.get_window_extent())
    assert len(places) >= 2
    places.sort(key=lambda box: box.x0)
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(places)]
    assert min(gaps) > 3, gaps
