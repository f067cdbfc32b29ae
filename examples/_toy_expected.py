# SPDX-License-Identifier: Apache-2.0
"""The variants of toy_mean_shift.py, the numbers expected of them, and whether ours agree.

The numbers are means over four draws of 500 points from each Gaussian, by a NumPy program of the
same set-up with a backward pass of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Variant:
    """Where the loss sits, and the numbers that are expected of it."""

    name: str
    loops: int
    every: bool = False
    gradient: float = 0.0
    """Mean absolute gradient of a point at the first update."""
    spread: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Standard deviation of the points of each Gaussian after all updates."""
    centres: tuple[float, float] = (0.0, 0.0)
    """Mean of the points of either class after the further loops."""
    error: tuple[float, float] = (0.0, 0.0)
    """Mean squared error of the regressor after all updates, and after the further loops."""


TINY = 1e-5  # errors printed as "< 1e-5"
PILES = (3.02, 3.99, 4.99)  # where mean shift alone gathers the points
VARIANTS = (
    Variant(
        "no mean shift",
        0,
        False,
        gradient=0.208,
        spread=(0.042, 0.065, 0.021),
        centres=(2.999, 4.896),
        error=(4.4e-3, 1.8e-3),
    ),
    Variant(
        "last of 1 loop",
        1,
        False,
        gradient=0.230,
        spread=(0.120, 0.130, 0.057),
        centres=(2.996, 4.901),
        error=(8.0e-3, 1.6e-3),
    ),
    Variant(
        "last of 2 loops",
        2,
        False,
        gradient=0.267,
        spread=(0.183, 0.225, 0.065),
        centres=(3.013, 4.897),
        error=(1.6e-2, 5.1e-3),
    ),
    Variant(
        "last of 5 loops",
        5,
        False,
        gradient=0.323,
        spread=(0.209, 0.546, 0.090),
        centres=(3.152, 4.851),
        error=(5.6e-2, 3.9e-2),
    ),
    Variant(
        "all of 1 loop",
        1,
        True,
        gradient=0.429,
        spread=(0.034, 0.050, 0.014),
        centres=(2.999, 4.979),
        error=(8e-4, 8e-5),
    ),
    Variant(
        "all of 2 loops",
        2,
        True,
        gradient=0.683,
        spread=(0.033, 0.049, 0.011),
        centres=(3.000, 4.995),
        error=(6e-4, TINY),
    ),
    Variant(
        "all of 5 loops",
        5,
        True,
        gradient=1.507,
        spread=(0.029, 0.061, 0.028),
        centres=(3.000, 4.999),
        error=(5e-4, TINY),
    ),
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A variant in one run."""

    gradient: float
    spread: Array
    centres: Array
    error: Array
    path: Array
    """[updates + 1 + AFTER, N]: the points after every update and every further loop."""


@dataclass(frozen=True)
class Check:
    """A number beside the expected one."""

    variant: str
    what: str
    ours: float
    spread: float
    """Standard deviation over the runs."""
    expected: float
    agrees: bool


def _within(share: float, least: float = 0.0) -> Callable[[float, float], bool]:
    return lambda ours, expected: abs(ours - expected) <= max(share * expected, least)


def _same_order(ours: float, expected: float) -> bool:
    """Errors differ by a factor of at most 1.5; below the printed bound they are the same."""
    if expected == TINY:
        return ours < TINY
    return expected / 1.5 <= ours <= expected * 1.5


def checks(variant: Variant, outcomes: Sequence[Outcome]) -> list[Check]:
    """All that is expected of a variant, with the tolerance for each."""
    rows = [
        ("gradient", [o.gradient for o in outcomes], variant.gradient, _within(0.1)),
        *(
            (f"centre {g + 1}", [o.centres[g] for o in outcomes], c, _within(0.0, 0.02))
            for g, c in enumerate(variant.centres)
        ),
        *(
            (f"spread {g + 1}", [o.spread[g] for o in outcomes], s, _within(0.2, 0.005))
            for g, s in enumerate(variant.spread)
        ),
        *(
            (name, [o.error[i] for o in outcomes], variant.error[i], _same_order)
            for i, name in enumerate(("error", "error after"))
        ),
    ]
    found = []
    for what, values, expected, agree in rows:
        mean = float(np.mean(values))
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        found.append(Check(variant.name, what, mean, spread, expected, agree(mean, expected)))
    return found
