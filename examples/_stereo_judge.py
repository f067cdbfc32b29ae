# SPDX-License-Identifier: Apache-2.0
"""How learn_stereo.py judges a smoothness term, and the rivals of the learned one."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import _common as common
import _stereo_model as parts
import numpy as np
import numpy.typing as npt
import torch

import mrfcore.nn
from mrfcore import Potential, Table, TruncatedLinear, datasets, metrics, stereo

STRENGTHS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # of the grid search
TRUNCATIONS = (1.0, 2.0, 4.0, 8.0)

Smoothness = tuple[Potential, npt.NDArray[np.float32]]  # V and weights [P, H, W], in steps


@dataclass(frozen=True, eq=False)
class Case:
    """A pair and its tensors."""

    pair: datasets.StereoPair
    problem: parts.Problem


@dataclass
class Answer:
    """What a method made of a pair."""

    weights: npt.NDArray[np.float32]
    """[P, H, W]."""
    labels: npt.NDArray[np.int64]
    """[H, W], the layer's arg-min."""
    bad: float
    """Share of non-occluded pixels off by more than 1, percent."""
    matched: float
    """The same after the checks, sub-pixel values and filling of `stereo.match`."""


def learned(model: parts.Model, case: Case) -> Smoothness:
    """What `model` makes of a pair."""
    with torch.no_grad():
        table = model.table(case.pair.num_disparities).numpy().astype(np.float64)
        return Table(table), model.edges(case.problem.image)[0].contiguous().numpy()


def by_rule(case: Case, strength: float = 1.0, truncation: float = 4.0) -> Smoothness:
    """That of `stereo.match`, or the same with other numbers."""
    weights = np.float32(strength) * stereo.exponential_weights(case.pair.left)
    return TruncatedLinear(truncation), weights


def alike(case: Case, strength: float, truncation: float) -> Smoothness:
    """One weight for all edges: what there is without a rule for them."""
    size = (2, *case.pair.left.shape[:2])
    return TruncatedLinear(truncation), np.full(size, strength, np.float32)


def labels_of(case: Case, smoothness: Smoothness, iterations: int) -> npt.NDArray[np.int64]:
    """[H, W]: arg-min of the layer's costs."""
    potential, weights = smoothness
    layer = mrfcore.nn.TRWP(potential, iterations=iterations)
    with torch.no_grad():
        costs = layer(case.problem.unary, torch.from_numpy(weights)[None])
    found: npt.NDArray[np.int64] = costs.argmin(1)[0].numpy()
    return found


def bad_1(labels: npt.ArrayLike, pair: datasets.StereoPair) -> float:
    """Percent of the non-occluded pixels."""
    assert pair.disparity is not None  # pairs without ground truth are not loaded
    return metrics.bad_pixels(labels, pair.disparity, 1.0, pair.nonocc)


def answer(case: Case, smoothness: Smoothness, iterations: int) -> Answer:
    """Labels of the layer and scores, alone and in `stereo.match`."""
    potential, weights = smoothness
    labels = labels_of(case, smoothness, iterations)
    whole = stereo.match(
        case.pair.left,
        case.pair.right,
        case.pair.num_disparities,
        cost=case.problem.unary[0].permute(1, 2, 0).contiguous().numpy(),
        potential=potential,
        weights=weights,
        iterations=iterations,
        left_right_check="costs",
    )
    return Answer(weights, labels, bad_1(labels, case.pair), bad_1(whole.disparity, case.pair))


Grid = dict[tuple[float, float], dict[str, float]]


def search(
    cases: Mapping[str, Case], rule: Callable[..., Smoothness], title: str, iterations: int
) -> Grid:
    """bad-1 of every pair by (strength, truncation)."""
    settings = list(itertools.product(STRENGTHS, TRUNCATIONS))
    grid: Grid = {}
    with common.bar(f"grid search, {title}", len(settings)) as bar:
        for setting in settings:
            grid[setting] = {
                name: bad_1(labels_of(case, rule(case, *setting), iterations), case.pair)
                for name, case in cases.items()
            }
            best = min(grid, key=lambda found: statistics.fmean(grid[found].values()))
            bar.step(f"best on all pairs: strength {best[0]:g}, truncation {best[1]:g}")
    return grid


def best_elsewhere(grid: Grid, name: str) -> tuple[float, float]:
    """The setting that is best on all pairs but one."""
    return min(
        grid, key=lambda s: statistics.fmean(bad for other, bad in grid[s].items() if other != name)
    )


@dataclass(frozen=True)
class Rivals:
    """What there is for a pair without training, whatever the seed."""

    start: tuple[float, float]
    """(strength, truncation), best on the other pairs when all edges weigh the same."""
    answers: dict[str, Answer]
    """By method."""


def rivals(cases: Mapping[str, Case], iterations: int) -> dict[str, Rivals]:
    """By pair."""
    without = search(cases, alike, "edges alike", iterations)
    ruled = search(cases, by_rule, "edges by hand", iterations)
    found = {}
    for name, case in cases.items():
        start, setting = best_elsewhere(without, name), best_elsewhere(ruled, name)
        smoothness = {
            "edges alike": alike(case, *start),
            "by hand": by_rule(case),
            "by hand, tuned": by_rule(case, *setting),
        }
        answers = {method: answer(case, one, iterations) for method, one in smoothness.items()}
        found[name] = Rivals(start, answers)
    return found
