# SPDX-License-Identifier: Apache-2.0
"""Learn the smoothness term of stereo: the table V and the edge weights of a TRWP layer.

    python examples/learn_stereo.py [-o FOLDER] [--rendered] [--small]

The matching costs are those of `mrfcore.stereo.match` and stay as they are. Learned is what people
set by hand: V(l, m), and how the weight of an edge depends on the left image, in 24 numbers. The
loss is a smooth stand-in for what bad-1 counts, pixels off by more than one. Every step sees every
training pair whole, so nothing is random.

Every pair is judged by a model that has learned from all other pairs, beside three rivals:

  edges alike     one weight for all edges; strength and truncation are the two numbers that do best
                  on the other pairs. Learning starts here, so what it gains is its own
  by hand         the table and the edge weights of `stereo.match`. They were chosen on five of the
                  six real pairs, so there they have seen what they are judged on
  by hand, tuned  the same rule for edges, strength and truncation best on the other pairs

With --rendered, scenes of `mrfcore.scene` take the place of the real pairs: no data needed, and
nothing by hand was chosen on them. What came out: docs/examples.md.
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
import torch

from mrfcore import datasets
from mrfcore.scene import render_stereo_scene

PAIRS = ("tsukuba", "venus", "teddy", "cones", "motorcycle", "map")
SMALL_PAIRS = PAIRS[:2]
METHODS = ("edges alike", "by hand", "by hand, tuned", "learned")


@dataclass(frozen=True)
class Options:
    """Sizes of a run."""

    iterations: int = 5
    steps: int = 8
    rate: float = 0.2
    temperature: float = 0.3
    """Of the loss, in steps of V."""
    full_table: bool = False


SMALL = Options(iterations=2, steps=3)


@dataclass
class Course:
    """What happened in the training of one model."""

    loss: list[float] = field(default_factory=list)
    """Before every step, mean of the training pairs."""
    held_out: list[float] = field(default_factory=list)
    """bad-1 of the held-out pair before every step and at the end, percent. Nothing is chosen by
    it."""


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
    check: Callable[[], float],
    step: Callable[[str], None],
) -> Course:
    """Adam on all of `problems` at once; `check` looks at another pair before every step."""
    optimiser = torch.optim.Adam(model.parameters(), lr=options.rate, betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: 1.0 - done / (options.steps + 1)
    )
    course = Course(held_out=[check()])
    for _ in range(options.steps):
        optimiser.zero_grad()
        course.loss.append(statistics.fmean(backward(model, one, options) for one in problems))
        optimiser.step()
        schedule.step()
        course.held_out.append(check())
        step(f"loss {course.loss[-1]:.3f}, held-out bad-1 {course.held_out[-1]:.2f} %")
    return course


def backward(model: parts.Model, problem: parts.Problem, options: Options) -> float:
    """Add the gradient of a pair's loss: one by one, so that one pair's tape is in memory."""
    costs = model(problem.unary, problem.image)
    loss = parts.bad_1_loss(costs, problem.truth, problem.counts, options.temperature)
    loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
    return float(loss.detach())


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
    cases: Mapping[str, judging.Case], known: Mapping[str, judging.Rivals], options: Options
) -> list[Fold]:
    """For each pair: train on all others, judge on it."""
    labels = max(case.pair.num_disparities for case in cases.values())
    folds = []
    with common.bar("learning", len(cases) * options.steps) as bar:
        for name, case in cases.items():
            model = parts.Model(labels, options.iterations, *known[name].start, options.full_table)

            def check(model: parts.Model = model, case: judging.Case = case) -> float:
                return judging.bad_1(
                    judging.labels_of(case, judging.learned(model, case), options.iterations),
                    case.pair,
                )

            def step(state: str, name: str = name) -> None:
                bar.step(f"without {name}: {state}")

            others = [other.problem for key, other in cases.items() if key != name]
            course = train(model, others, options, check, step)
            found = judging.answer(case, judging.learned(model, case), options.iterations)
            folds.append(Fold(case.pair, model, course, {**known[name].answers, "learned": found}))
    return folds


@dataclass(frozen=True)
class Score:
    """Of a method on a pair, or on the mean of all, percent."""

    bad: float
    matched: float


def summary(folds: Sequence[Fold]) -> dict[str, dict[str, Score]]:
    """By pair and method; the last row is the mean of the pairs."""

    def score(answers: Sequence[judging.Answer]) -> Score:
        bad = statistics.fmean(one.bad for one in answers)
        return Score(bad, statistics.fmean(one.matched for one in answers))

    rows = {f.pair.name: {m: score([f.answers[m]]) for m in METHODS} for f in folds}
    rows["mean"] = {m: score([fold.answers[m] for fold in folds]) for m in METHODS}
    return rows


def report(rows: Mapping[str, Mapping[str, Score]]) -> None:
    """Print bad-1 by pair, of the layer's labels and of the whole matcher."""
    title = "Off by more than 1 pixel, %, non-occluded, each pair held out"
    common.table(
        f"{title}: the layer's labels",
        ["pair", *METHODS],
        [[name, *(f"{row[m].bad:.2f}" for m in METHODS)] for name, row in rows.items()],
    )
    common.table(
        f"{title}: the same in stereo.match, checked, refined, filled",
        ["pair", *METHODS],
        [[name, *(f"{row[m].matched:.2f}" for m in METHODS)] for name, row in rows.items()],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, draw."""
    parser = common.parser(__doc__, "learn-stereo")
    parser.add_argument("--steps", type=int, help="of training, per model")
    parser.add_argument("--rendered", action="store_true", help="made scenes, no data needed")
    parser.add_argument("--full-table", action="store_true", help="V of all pairs of labels")
    given = parser.parse_args(arguments)
    options = SMALL if given.small else Options()
    options = dataclasses.replace(options, full_table=given.full_table)
    if given.steps is not None:
        options = dataclasses.replace(options, steps=given.steps)
    common.prepare(given.seed, given.threads)
    results = common.Results(given.output, given.small)
    wanted = SMALL_PAIRS if given.small else PAIRS
    pairs = rendered(given.small) if given.rendered else load(wanted, given.data, given.small)
    if len(pairs) < 2:
        parser.error(
            f"--data {given.data}: expected stereo pairs there, at least two of "
            f"{', '.join(wanted)}; --rendered needs none"
        )
    cases = {pair.name: judging.Case(pair, parts.problem(pair)) for pair in pairs}
    folds = run(cases, judging.rivals(cases, options.iterations), options)
    rows = summary(folds)
    report(rows)
    name = "learn_stereo_rendered" if given.rendered else "learn_stereo"
    results.json(
        f"{name}.json",
        {
            "options": dataclasses.asdict(options),
            "bad_1": {n: {m: vars(s) for m, s in row.items()} for n, row in rows.items()},
            "learned": {f.pair.name: numbers(f.model) for f in folds},
        },
    )
    from _stereo_picture import draw

    results.figure(name, draw(folds, rows))
    results.say()
    return 0


def numbers(model: parts.Model) -> dict[str, list[float]]:
    """All that was learned, by name."""
    return {name: value.detach().flatten().tolist() for name, value in model.named_parameters()}


if __name__ == "__main__":
    raise SystemExit(main())
