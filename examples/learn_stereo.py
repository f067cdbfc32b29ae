# SPDX-License-Identifier: Apache-2.0
"""Learn the smoothness term of stereo: the table V and the edge weights of a TRWP layer.

    python examples/learn_stereo.py [-o FOLDER] [--seed N] [--runs N] [--small]

The matching costs are those of `mrfcore.stereo.match` and stay as they are. Learned is what people
set by hand: V(l, m), and one weight per edge from a small convolutional network that sees the left
image. The start is set by hand: a truncated linear V and equal weights. The loss is the
-log probability of being off by at most one pixel under softmax(-costs / temperature): what bad-1
counts, but smooth.

Two models are trained, each on half of the pairs, and every pair is judged by the one that has
never seen it. "default" is the same layer with the table and the edge weights of `stereo.match`,
which were chosen by hand on five of these six pairs.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import _common as common
import _stereo_model as parts
import numpy as np
import numpy.typing as npt
import torch

import mrfcore.nn
from mrfcore import Potential, Table, datasets, metrics, stereo

FOLDS = (("tsukuba", "teddy", "motorcycle"), ("venus", "cones", "map"))
METHODS = ("start", "default", "learned")


@dataclass(frozen=True)
class Options:
    """Sizes of a run."""

    labels: int = 64
    iterations: int = 5
    steps: int = 200
    crop: tuple[int, int] = (160, 224)
    rate: float = 0.01
    check_every: int = 25
    full_table: bool = False


SMALL = Options(labels=20, iterations=2, steps=6, crop=(48, 64), check_every=3)
SMALL_FOLDS = (("tsukuba",), ("venus",))


@dataclass
class Course:
    """What happened in the training of one model."""

    loss: list[float] = field(default_factory=list)
    """After every step."""
    checked: list[int] = field(default_factory=list)
    """Steps after which the held-out pairs were looked at."""
    held_out: list[float] = field(default_factory=list)
    """Mean bad-1 of the held-out pairs then, percent. Nothing is chosen by it."""


@dataclass
class Judged:
    """What the methods made of one pair."""

    pair: datasets.StereoPair
    labels: dict[str, npt.NDArray[np.int64]]
    """[H, W], the layer's arg-min."""
    bad: dict[str, float]
    """Share of non-occluded pixels off by more than 1, percent."""
    matched: dict[str, float]
    """The same after the checks, sub-pixel values and filling of `stereo.match`."""
    weights: npt.NDArray[np.float32]
    """[P, H, W], learned."""


@dataclass
class Fold:
    """One trained model and the pairs it was judged on."""

    model: parts.Model
    course: Course
    judged: list[Judged]


# --- training -----------------------------------------------------------------------------------


def train(
    model: parts.Model,
    problems: Sequence[parts.Problem],
    options: Options,
    random: np.random.Generator,
    check: Callable[[], float],
    step: Callable[[str], None],
) -> Course:
    """Adam on random windows of `problems`; `check` looks at other pairs now and then."""
    optimiser = torch.optim.Adam(model.parameters(), lr=options.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.rate, total_steps=options.steps, pct_start=0.1
    )
    course = Course()
    for number in range(options.steps + 1):
        if number % options.check_every == 0 or number == options.steps:
            course.checked.append(number)
            course.held_out.append(check())
        if number == options.steps:
            break
        crop = window(problems, options.crop, random)
        costs = model(crop.unary, crop.image)
        loss = parts.bad_1_loss(costs, crop.truth, crop.counts, model.log_temperature)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        course.loss.append(float(loss.detach()))
        recent = statistics.fmean(course.loss[-10:])
        step(f"loss {recent:.3f}, held-out bad-1 {course.held_out[-1]:.2f} %")
    return course


def window(
    problems: Sequence[parts.Problem], size: tuple[int, int], random: np.random.Generator
) -> parts.Problem:
    """A random window of a random pair that has pixels to learn from."""
    while True:
        problem = problems[int(random.integers(len(problems)))]
        height, width = problem.truth.shape[-2:]
        top, left = (
            int(random.integers(max(0, whole - part) + 1))
            for whole, part in zip((height, width), size, strict=True)
        )
        crop = problem.window(top, left, size, flip=bool(random.integers(2)))
        if crop.counts.float().mean() > 0.25:
            return crop


# --- judging ------------------------------------------------------------------------------------


def smoothness(
    model: parts.Model, problem: parts.Problem, pair: datasets.StereoPair, method: str
) -> tuple[Potential, npt.NDArray[np.float32]]:
    """(V, weights [P, H, W]) of a method, in steps."""
    if method == "learned":
        with torch.no_grad():
            weights = model.edges(problem.image)[0].contiguous().numpy()
            return Table(model.table().numpy().astype(np.float64)), weights
    by_hand = stereo.exponential_weights(pair.left)
    return parts.HAND_SET, np.ones_like(by_hand) if method == "start" else by_hand


def labels_of(
    problem: parts.Problem, potential: Potential, weights: npt.NDArray[np.float32], iterations: int
) -> npt.NDArray[np.int64]:
    """[H, W]: arg-min of the layer's costs."""
    layer = mrfcore.nn.TRWP(potential, iterations=iterations)
    with torch.no_grad():
        costs = layer(problem.unary, torch.from_numpy(weights)[None])
    found: npt.NDArray[np.int64] = costs.argmin(1)[0].numpy()
    return found


def bad_1(labels: npt.ArrayLike, pair: datasets.StereoPair) -> float:
    """Percent of the non-occluded pixels."""
    assert pair.disparity is not None  # pairs without ground truth are not loaded
    return metrics.bad_pixels(labels, pair.disparity, 1.0, pair.nonocc)


def judge(
    model: parts.Model, problem: parts.Problem, pair: datasets.StereoPair, options: Options
) -> Judged:
    """All methods on a pair that `model` has not seen."""
    result = Judged(pair, {}, {}, {}, np.empty(0, np.float32))
    costs = problem.unary[0].permute(1, 2, 0).contiguous().numpy()
    for method in METHODS:
        potential, weights = smoothness(model, problem, pair, method)
        labels = labels_of(problem, potential, weights, options.iterations)
        whole = stereo.match(
            pair.left,
            pair.right,
            options.labels,
            cost=costs,
            potential=potential,
            weights=weights,
            iterations=options.iterations,
            left_right_check="costs",
        )
        result.labels[method] = labels
        result.bad[method] = bad_1(labels, pair)
        result.matched[method] = bad_1(whole.disparity, pair)
        result.weights = weights  # of the last method, the learned one
    return result


# --- the experiment -----------------------------------------------------------------------------


def load(names: Iterable[str], folder: Path, small: bool) -> dict[str, datasets.StereoPair]:
    """The pairs that are there; in a small run, windows of them."""
    pairs = {}
    for name in names:
        try:
            pair = datasets.load_pair(name, folder)
        except (FileNotFoundError, ImportError) as error:
            common.errors.print(f"[dim]left out: {error}[/dim]")
            continue
        pairs[name] = middle(pair, 96, 128) if small else pair
    return pairs


def middle(pair: datasets.StereoPair, height: int, width: int) -> datasets.StereoPair:
    """A window in the middle of a pair; what it matches in the right image may be cut off."""
    rows, columns = pair.left.shape[:2]
    top, left = (rows - height) // 2, (columns - width) // 2
    cut = {
        name: getattr(pair, name)[top : top + height, left : left + width]
        for name in ("left", "right", "disparity", "valid", "nonocc")
    }
    return dataclasses.replace(pair, **cut)


def run(
    pairs: Mapping[str, datasets.StereoPair], options: Options, seed: int, title: str
) -> list[Fold]:
    """Train on each half of the pairs, judge on the other."""
    problems = {name: parts.problem(pair, options.labels) for name, pair in pairs.items()}
    folds = []
    for number, names in enumerate(FOLDS):
        seen = [name for name in names if name in pairs]
        unseen = [name for name in pairs if name not in names]
        torch.manual_seed(seed)
        model = parts.Model(options.labels, options.iterations, options.full_table)

        def check(model: parts.Model = model, unseen: list[str] = unseen) -> float:
            shares = []
            for name in unseen:
                term = smoothness(model, problems[name], pairs[name], "learned")
                labels = labels_of(problems[name], *term, options.iterations)
                shares.append(bad_1(labels, pairs[name]))
            return statistics.fmean(shares)

        with common.bar(f"{title}, trained on {', '.join(seen)}", options.steps) as bar:
            course = train(
                model,
                [problems[name] for name in seen],
                options,
                np.random.default_rng([seed, number]),
                check,
                bar.step,
            )
        judged = [judge(model, problems[name], pairs[name], options) for name in unseen]
        folds.append(Fold(model, course, judged))
    return folds


def report(runs: Sequence[Sequence[Fold]], pairs: Iterable[str]) -> dict[str, dict[str, float]]:
    """Print bad-1 by pair, mean over the runs; return it by pair and column."""
    rows: dict[str, dict[str, float]] = {}
    for name in pairs:
        found = [j for folds in runs for fold in folds for j in fold.judged if j.pair.name == name]
        rows[name] = {m: statistics.fmean(j.bad[m] for j in found) for m in METHODS} | {
            f"match, {m}": statistics.fmean(j.matched[m] for j in found) for m in METHODS
        }
    columns = list(next(iter(rows.values())))
    rows["mean"] = {c: statistics.fmean(row[c] for row in rows.values()) for c in columns}
    for title, kept in (
        ("the layer's labels", METHODS),
        ("the same in stereo.match: checked, refined, filled", columns[len(METHODS) :]),
    ):
        common.table(
            f"Off by more than 1 pixel, %, non-occluded, held-out pairs: {title}",
            ["pair", *METHODS],
            [[name, *(f"{row[c]:.2f}" for c in kept)] for name, row in rows.items()],
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, draw."""
    parser = common.parser(__doc__, "learn-stereo")
    parser.add_argument("--runs", type=int, default=1, help="repeat with the next seeds")
    parser.add_argument("--steps", type=int, help="of training, per model")
    parser.add_argument("--full-table", action="store_true", help="V of all pairs of labels")
    given = parser.parse_args(arguments)
    options = SMALL if given.small else Options()
    options = dataclasses.replace(options, full_table=given.full_table)
    if given.steps is not None:
        options = dataclasses.replace(options, steps=given.steps)
    common.prepare(given.seed, given.threads)
    results = common.Results(given.output)
    folds = SMALL_FOLDS if given.small else FOLDS
    pairs = load([name for names in folds for name in names], given.data, given.small)
    if any(not set(names) & set(pairs) for names in folds):
        wanted = " and ".join(f"one of {', '.join(names)}" for names in folds)
        parser.error(f"--data {given.data}: expected stereo pairs there, at least {wanted}")
    runs = [
        run(pairs, options, given.seed + number, f"run {number + 1}")
        for number in range(given.runs)
    ]
    rows = report(runs, [pair.name for pair in pairs.values()])
    means = [
        {m: statistics.fmean(j.bad[m] for fold in folds for j in fold.judged) for m in METHODS}
        for folds in runs
    ]
    results.json("learn_stereo.json", {"options": vars(options), "bad_1": rows, "runs": means})
    from _stereo_picture import draw

    results.figure("learn_stereo", draw(runs[0], rows))
    results.say()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
