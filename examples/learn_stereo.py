# SPDX-License-Identifier: Apache-2.0
"""Learn the smoothness term of stereo: the table V and the edge weights of a TRWP layer.

    python examples/learn_stereo.py [-o FOLDER] [--seed N] [--runs N] [--rendered] [--small]

The matching costs are those of `mrfcore.stereo.match` and stay as they are. Learned is what people
set by hand: V(l, m), and one weight per edge from a small convolutional network that sees the left
image. The loss is a smooth stand-in for what bad-1 counts, pixels off by more than one.

Every pair is judged by a model that has learned from all other pairs, beside two rivals:

  by hand      the table and the edge weights of `stereo.match`. They were chosen on five of the six
               real pairs, so there they have seen what they are judged on
  grid search  the same with the strength and the truncation that do best on the other pairs: two
               numbers fitted to the data that the learned model has. Learning starts here

With --rendered, scenes of `mrfcore.scene` take the place of the real pairs: no data needed, and
neither strength nor truncation by hand was chosen on them. What came out: docs/examples.md.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import _common as common
import _stereo_judge as judging
import _stereo_model as parts
import numpy as np
import torch

from mrfcore import datasets
from mrfcore.scene import render_stereo_scene

PAIRS = ("tsukuba", "venus", "teddy", "cones", "motorcycle", "map")
SMALL_PAIRS = PAIRS[:2]
METHODS = ("by hand", "grid search", "learned")


@dataclass(frozen=True)
class Options:
    """Sizes of a run."""

    iterations: int = 5
    steps: int = 80
    crop: tuple[int, int] = (128, 192)
    rate: float = 0.01
    temperature: float = 0.3
    """Of the loss, in steps."""
    check_every: int = 20
    full_table: bool = False


SMALL = Options(iterations=2, steps=6, crop=(48, 64), check_every=3)


@dataclass
class Course:
    """What happened in the training of one model."""

    loss: list[float] = field(default_factory=list)
    """After every step."""
    checked: list[int] = field(default_factory=list)
    """Steps after which the held-out pair was looked at."""
    held_out: list[float] = field(default_factory=list)
    """Its bad-1 then, percent. Nothing is chosen by it."""


@dataclass
class Fold:
    """A pair, the model that has not seen it, and all answers by method."""

    pair: datasets.StereoPair
    model: parts.Model
    course: Course
    answers: dict[str, judging.Answer]


# --- training -----------------------------------------------------------------------------------


def train(
    model: parts.Model,
    problems: Sequence[parts.Problem],
    options: Options,
    random: np.random.Generator,
    check: Callable[[], float],
    step: Callable[[str], None],
) -> Course:
    """Adam on random windows of `problems`; `check` looks at another pair now and then."""
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
        loss = parts.bad_1_loss(costs, crop.truth, crop.counts, options.temperature)
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


# --- the experiment -----------------------------------------------------------------------------


def load(names: Iterable[str], folder: Path, small: bool) -> list[datasets.StereoPair]:
    """The pairs that are there; in a small run, windows of them."""
    pairs = []
    for name in names:
        try:
            pair = datasets.load_pair(name, folder)
        except (FileNotFoundError, ImportError) as error:
            common.errors.print(f"[dim]left out: {error}[/dim]")
            continue
        pairs.append(middle(pair, 96, 128) if small else pair)
    return pairs


def rendered(small: bool) -> list[datasets.StereoPair]:
    """Scenes made on the spot."""
    count, size = (2, (64, 96, 12)) if small else (6, (288, 384, 40))
    return [
        dataclasses.replace(render_stereo_scene(*size, seed=seed), name=f"scene {seed}")
        for seed in range(count)
    ]


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
    cases: Mapping[str, judging.Case],
    known: Mapping[str, judging.Rivals],
    options: Options,
    seed: int,
    title: str,
) -> list[Fold]:
    """For each pair: train on all others, judge on it."""
    labels = max(case.pair.num_disparities for case in cases.values())
    folds = []
    with common.bar(title, len(cases) * options.steps) as bar:
        for number, (name, case) in enumerate(cases.items()):
            torch.manual_seed(seed)
            start = known[name].setting
            model = parts.Model(labels, options.iterations, *start, options.full_table)

            def check(model: parts.Model = model, case: judging.Case = case) -> float:
                return judging.bad_1(
                    judging.labels_of(case, judging.learned(model, case), options.iterations),
                    case.pair,
                )

            def step(state: str, name: str = name) -> None:
                bar.step(f"without {name}: {state}")

            others = [other.problem for key, other in cases.items() if key != name]
            random = np.random.default_rng([seed, number])
            course = train(model, others, options, random, check, step)
            found = judging.answer(case, judging.learned(model, case), options.iterations)
            folds.append(Fold(case.pair, model, course, {**known[name].answers, "learned": found}))
    return folds


@dataclass(frozen=True)
class Score:
    """Of a method on a pair, or on the mean of all, percent: over all runs."""

    bad: float
    spread: float
    """Standard deviation over the runs' seeds."""
    matched: float


def summary(runs: Sequence[Sequence[Fold]]) -> dict[str, dict[str, Score]]:
    """By pair and method; the last row is the mean of the pairs."""
    answers = {
        fold.pair.name: {m: [folds[n].answers[m] for folds in runs] for m in METHODS}
        for n, fold in enumerate(runs[0])
    }

    def score(found: Sequence[Sequence[judging.Answer]]) -> Score:
        """Of lists of answers by pair, each over the runs."""
        bad = [statistics.fmean(one.bad for one in run) for run in zip(*found, strict=True)]
        spread = statistics.stdev(bad) if len(bad) > 1 else 0.0
        matched = statistics.fmean(one.matched for pair in found for one in pair)
        return Score(statistics.fmean(bad), spread, matched)

    rows = {name: {m: score([row[m]]) for m in METHODS} for name, row in answers.items()}
    rows["mean"] = {m: score([row[m] for row in answers.values()]) for m in METHODS}
    return rows


def report(rows: Mapping[str, Mapping[str, Score]], runs: int) -> None:
    """Print bad-1 by pair, of the layer's labels and of the whole matcher."""
    title = "Off by more than 1 pixel, %, non-occluded, each pair held out"

    def spread(score: Score) -> str:
        return f"{score.spread:.2f}" if runs > 1 else "-"

    common.table(
        f"{title}: the layer's labels, mean and spread, runs: {runs}",
        ["pair", *METHODS, "+-"],
        [
            [name, *(f"{row[m].bad:.2f}" for m in METHODS), spread(row["learned"])]
            for name, row in rows.items()
        ],
    )
    common.table(
        f"{title}: the same in stereo.match, checked, refined, filled",
        ["pair", *METHODS],
        [[name, *(f"{row[m].matched:.2f}" for m in METHODS)] for name, row in rows.items()],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, draw."""
    parser = common.parser(__doc__, "learn-stereo")
    parser.add_argument("--runs", type=int, default=1, help="repeat with the next seeds")
    parser.add_argument("--steps", type=int, help="of training, per model")
    parser.add_argument("--rendered", action="store_true", help="made scenes, no data needed")
    parser.add_argument("--full-table", action="store_true", help="V of all pairs of labels")
    given = parser.parse_args(arguments)
    options = SMALL if given.small else Options()
    options = dataclasses.replace(options, full_table=given.full_table)
    if given.steps is not None:
        options = dataclasses.replace(options, steps=given.steps)
    common.prepare(given.seed, given.threads)
    results = common.Results(given.output)
    wanted = SMALL_PAIRS if given.small else PAIRS
    pairs = rendered(given.small) if given.rendered else load(wanted, given.data, given.small)
    if len(pairs) < 2:
        parser.error(
            f"--data {given.data}: expected stereo pairs there, at least two of "
            f"{', '.join(wanted)}; --rendered needs none"
        )
    cases = {pair.name: judging.Case(pair, parts.problem(pair)) for pair in pairs}
    known = judging.rivals(cases, options.iterations)
    runs = [
        run(cases, known, options, given.seed + number, f"run {number + 1}")
        for number in range(given.runs)
    ]
    rows = summary(runs)
    report(rows, given.runs)
    name = "learn_stereo_rendered" if given.rendered else "learn_stereo"
    results.json(
        f"{name}.json",
        {
            "options": dataclasses.asdict(options),
            "bad_1": {n: {m: vars(s) for m, s in row.items()} for n, row in rows.items()},
            "runs": [{f.pair.name: f.answers["learned"].bad for f in folds} for folds in runs],
        },
    )
    from _stereo_picture import draw

    results.figure(name, draw(runs[0], rows))
    results.say()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
