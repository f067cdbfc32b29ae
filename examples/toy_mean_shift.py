# SPDX-License-Identifier: Apache-2.0
"""What gradients through mean shift do to points on a line: the toy of Kong 2019, Appendix C.1.2.

    python examples/toy_mean_shift.py [-o FOLDER] [--seed N] [--runs N] [--small]

Points come from N(3, .2), N(4, .3) and N(5, .1) (means, standard deviations). A fixed regressor
y = x / 2 - 1 / 2 is to give 1 for the first Gaussian and 2 for the other two, so that 3 and 5 are
the ideal places. The points themselves are what is learned: 30 updates x <- x - 0.1 dl/dx of the
squared error l, summed over points. Between x and the regressor come 0 to 5 loops of Gaussian
blurring mean shift with bandwidth 0.2, and the loss sits after the last loop only ("last of"), or
on all of them and on the points as they are ("all of"). Five further loops show how points group.

Each number is printed beside the expected one, which comes from an independent NumPy program of
the same set-up. What came out: docs/examples.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import _common as common
import _toy_expected as toy
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mrfcore.nn.functional import mean_shift_euclid

GAUSSIANS = ((3.0, 0.2), (4.0, 0.3), (5.0, 0.1))
TARGETS = (1.0, 2.0, 2.0)  # of the regressor, for each Gaussian
BANDWIDTH = 0.2
RATE = 0.1
AFTER = 5  # loops that show the grouping

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """Sizes of a run."""

    points: int = 500
    """Of each Gaussian."""
    updates: int = 30


SMALL = Options(points=60, updates=8)


# --- one run ------------------------------------------------------------------------------------


def draw(
    options: Options, random: np.random.Generator
) -> tuple[Tensor, Tensor, npt.NDArray[np.int64]]:
    """Points [N], targets [N] and the number of each point's Gaussian."""
    x = np.concatenate([random.normal(m, s, options.points) for m, s in GAUSSIANS])
    which = np.repeat(np.arange(3), options.points)
    return torch.from_numpy(x), torch.tensor(TARGETS, dtype=torch.float64)[which], which


def shift(x: Tensor, loops: int = 1) -> Tensor:
    """Mean shift of points on a line."""
    return mean_shift_euclid(x[None, None], BANDWIDTH, loops)[0, 0]


def loss(x: Tensor, targets: Tensor, variant: toy.Variant) -> Tensor:
    """Squared error, summed over the points and over the places where the loss sits."""
    state = x
    total = _error(x, targets) if variant.every or not variant.loops else x.new_zeros(())
    for loop in range(1, variant.loops + 1):
        state = shift(state)
        if variant.every or loop == variant.loops:
            total = total + _error(state, targets)
    return total


def _error(x: Tensor, targets: Tensor) -> Tensor:
    return (0.5 * x - 0.5 - targets).square().sum()


def descend(
    x: Tensor, targets: Tensor, variant: toy.Variant, updates: int
) -> tuple[list[Tensor], float]:
    """The points after every update, the first ones first; mean absolute gradient of the first."""
    path, first = [x], 0.0
    for update in range(updates):
        leaf = path[-1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf, targets, variant), leaf)
        first = first if update else float(gradient.abs().mean())
        path.append(path[-1] - RATE * gradient)
    return path, first


def run(variant: toy.Variant, options: Options, seed: int) -> toy.Outcome:
    """Draw points, learn, group."""
    x, targets, which = draw(options, np.random.default_rng(seed))
    path, gradient = descend(x, targets, variant, options.updates)
    learned = path[-1]
    for _ in range(AFTER):
        path.append(shift(path[-1]))
    after = path[-1]
    return toy.Outcome(
        gradient,
        np.array([learned.numpy()[which == g].std() for g in range(3)]),
        np.array([after.numpy()[(targets == t).numpy()].mean() for t in (1.0, 2.0)]),
        np.array([float(_error(points, targets)) / len(x) for points in (learned, after)]),
        torch.stack(path).numpy(),
    )


def piles(options: Options, seed: int) -> tuple[Array, Array]:
    """Mean shift alone: places of the piles with at least a hundredth of the points; the path."""
    x, _, _ = draw(options, np.random.default_rng(seed))
    path = [x]
    for _ in range(options.updates + AFTER):
        path.append(shift(path[-1]))
    ordered = np.sort(path[-1].numpy())
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > BANDWIDTH / 2) + 1)
    large = [group.mean() for group in groups if len(group) >= len(x) / 100]
    return np.array(large), torch.stack(path).numpy()


# --- results ------------------------------------------------------------------------------------


def report(found: Sequence[toy.Check], runs: int, small: bool) -> None:
    """Print ours beside the expected, and which agree."""
    columns = list(dict.fromkeys(check.what for check in found))
    wide = [c for c in columns if not c.startswith("spread")]
    for chosen in (wide, [c for c in columns if c not in wide]):
        rows = []
        for variant in toy.VARIANTS:
            own = [c for c in found if c.variant == variant.name and c.what in chosen]
            rows += [
                [variant.name, *(_number(c.ours) + ("" if c.agrees else " !") for c in own)],
                ["  +-", *(_number(c.spread) if runs > 1 else "-" for c in own)],
                [
                    "  expected",
                    *("<1e-05" if c.expected == toy.TINY else _number(c.expected) for c in own),
                ],
            ]
        common.table(f"mean over seeds: {runs} (! differs)", ["loss", *chosen], rows)
    if small:
        common.output.print("(a small run: the expected numbers are those of a whole one)")
        return
    agree = sum(check.agrees for check in found)
    common.output.print(f"{agree} of {len(found)} numbers agree with the expected ones")
    for check in found:
        if not check.agrees:
            common.output.print(
                f"  {check.variant}, {check.what}: {_number(check.ours)} +- "
                f"{_number(check.spread)}, expected {_number(check.expected)}"
            )


def _number(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, compare, draw."""
    parser = common.parser(__doc__, "toy-mean-shift")
    parser.add_argument("--runs", type=int, help="seeds (4; small: 1)")
    given = parser.parse_args(arguments)
    options = SMALL if given.small else Options()
    common.prepare(given.seed, given.threads)
    results = common.Results(given.output)
    seeds = range(given.seed, given.seed + (given.runs or (1 if given.small else 4)))
    outcomes: dict[str, list[toy.Outcome]] = {}
    with common.bar("toy", len(toy.VARIANTS) * len(seeds)) as bar:
        for variant in toy.VARIANTS:
            outcomes[variant.name] = []
            for seed in seeds:
                outcomes[variant.name].append(run(variant, options, seed))
                bar.step(variant.name)
    gathered = [piles(options, seed) for seed in seeds]
    found = [
        check for variant in toy.VARIANTS for check in toy.checks(variant, outcomes[variant.name])
    ]
    report(found, len(seeds), given.small)
    places = [" ".join(f"{place:.2f}" for place in one) for one, _ in gathered]
    expected = " ".join(f"{place:.2f}" for place in toy.PILES)
    common.output.print(f"piles of mean shift alone: {'; '.join(places)} (expected {expected})")
    results.json(
        "toy_mean_shift.json",
        {
            "options": dataclasses.asdict(options),
            "seeds": list(seeds),
            "checks": [dataclasses.asdict(check) for check in found],
            "piles": [one.tolist() for one, _ in gathered],
        },
    )
    from _toy_picture import draw as picture

    paths = {name: of[0].path for name, of in outcomes.items()}
    results.figure("toy_mean_shift", picture(gathered[0][1], paths, found, options, seeds[0]))
    results.say()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
