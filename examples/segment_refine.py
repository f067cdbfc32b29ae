# SPDX-License-Identifier: Apache-2.0
"""Does message passing on the logits of a segmentation network help, and which one helps most?

    python examples/segment_refine.py [-o FOLDER] [--seed N] [--runs N] [--painted] [--small]

The task is segmentation from clicks: given a few clicks into each region of an image, find the
regions. Images and regions are those of BSDS500, drawn by people; with --painted, synthetic scenes
with ragged borders and noise. A small convolutional network gives logits; on these comes a layer
(SGM-8, MF-4, ISGMR-8 or TRWP-4, five iterations, Potts, weights from Canny edges, 1 - |e_i - e_j|)
as in Table 3.5 of the thesis that these layers come from; there, TRWP-4 came out best and MF-4
worst. MF-8 and TRWP-8 are there to compare solvers at equal connectivity. What came out here:
docs/examples.md.

Each run splits the images anew, trains the network, and goes on from there for the same number of
steps on the same windows and clicks: alone, and with each of the layers. How strong the
layer starts is chosen on the training images; then it is learned along with the rest.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import _click_net as nets
import _common as common
import _regions as data
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

import mrfcore.nn

ALONE = "network alone"
METHODS: dict[str, nets.Kind | None] = {
    ALONE: None,
    "MF-4": nets.Kind(mrfcore.nn.MeanField, 4),
    "TRWP-4": nets.Kind(mrfcore.nn.TRWP, 4),
    "MF-8": nets.Kind(mrfcore.nn.MeanField, 8),
    "SGM-8": nets.Kind(mrfcore.nn.SGM, 8),
    "ISGMR-8": nets.Kind(mrfcore.nn.ISGMR, 8),
    "TRWP-8": nets.Kind(mrfcore.nn.TRWP, 8),
}
STRENGTH_RATE = 0.03  # of its logarithm
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # a layer starts at the best of these


@dataclass(frozen=True)
class Options:
    """Sizes of a run."""

    painted: bool = False
    edges: str = "canny"
    held_out: int = 4
    clicks: int = 3
    iterations: int = 5
    alone_steps: int = 200
    steps: int = 60
    draws: int = 2
    """Of clicks, for every judged segmentation."""
    rate: float = 3e-3
    fine_rate: float = 5e-4


SMALL = Options(alone_steps=4, steps=2, draws=1, held_out=1, iterations=2)


@dataclass(frozen=True, eq=False)
class Sample:
    """A scene with clicks, as the networks take it."""

    scene: data.Scene
    image: Tensor
    clicks: Tensor
    edges: Tensor
    """[1, 4, H, W]: weights of the edges to 8 neighbours."""
    regions: Tensor


@dataclass
class Outcome:
    """A method in one run."""

    iou: list[float]
    """Mean IoU of each held-out sample, 0 to 1."""
    strength: float
    """Learned."""
    labels: list[npt.NDArray[np.int64]]
    """Of the first sample of each held-out image."""
    loss: float


# --- samples ------------------------------------------------------------------------------------


def sample(scene: data.Scene, options: Options, random: np.random.Generator) -> Sample:
    """Click into every region of a scene."""
    image = torch.from_numpy(scene.image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return Sample(
        scene,
        image,
        torch.from_numpy(data.clicks(scene, options.clicks, random)),
        mrfcore.nn.EdgeWeights(options.edges, 8, sigma=1.5)(image),
        torch.from_numpy(scene.regions)[None],
    )


def stream(
    scenes: Sequence[Sequence[data.Scene]], options: Options, random: np.random.Generator
) -> Iterator[Sample]:
    """Endless samples: any image, any of its segmentations, new clicks."""
    while True:
        people = scenes[int(random.integers(len(scenes)))]
        yield sample(people[int(random.integers(len(people)))], options, random)


def samples(
    scenes: Sequence[Sequence[data.Scene]], options: Options, random: np.random.Generator
) -> list[list[Sample]]:
    """By image: every segmentation, clicked into `draws` times."""
    return [
        [sample(scene, options, random) for scene in people for _ in range(options.draws)]
        for people in scenes
    ]


# --- training and judging -----------------------------------------------------------------------


def train(
    model: nets.Refined,
    source: Iterator[Sample],
    steps: int,
    rate: float,
    step: Callable[[str], None],
) -> float:
    """Adam on the cross-entropy; returns the mean loss of the last quarter."""
    groups = [{"params": model.net.parameters(), "lr": rate, "first": rate}]
    if model.layer is not None:
        groups.append({"params": model.layer.parameters(), "lr": 0.0, "first": STRENGTH_RATE})
    optimiser = torch.optim.Adam(groups)
    losses: list[float] = []
    for number in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = group["first"] * (1.0 - number / steps) ** 0.9  # "poly", as in the text
        one = next(source)
        logits = model(one.image, one.clicks, one.edges)
        loss = functional.cross_entropy(logits, one.regions, ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        step(f"loss {statistics.fmean(losses[-20:]):.3f}")
    return statistics.fmean(losses[-max(1, steps // 4) :])


@torch.no_grad()
def labels_of(model: nets.Refined, one: Sample) -> npt.NDArray[np.int64]:
    """[H, W]."""
    found: npt.NDArray[np.int64] = model(one.image, one.clicks, one.edges).argmax(1)[0].numpy()
    return found


def mean_iou(model: nets.Refined, group: Sequence[Sample]) -> float:
    """Mean over samples."""
    return statistics.fmean(data.mean_iou(labels_of(model, one), one.scene) for one in group)


def refined(
    net: nets.ClickNet,
    kind: nets.Kind | None,
    iterations: int,
    group: Sequence[Sample],
) -> nets.Refined:
    """The network with a layer of the strength that does best on training samples as it is."""
    if kind is None:
        return nets.Refined(net)
    models = [kind.refine(net, iterations, s) for s in STRENGTHS]
    return max(models, key=lambda model: mean_iou(model, group))


def run(
    pool: Mapping[str, Sequence[data.Scene]], options: Options, seed: int, title: str
) -> tuple[dict[str, Outcome], list[Sample]]:
    """Split, train the network, go on with every layer; all methods see the same samples."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    names, unseen = data.split(list(pool), options.held_out, random)
    known, held_out = [pool[n] for n in names], samples([pool[n] for n in unseen], options, random)
    choosing = [group[0] for group in samples([p[:1] for p in known], options, random)]
    start = nets.Refined(nets.ClickNet())
    outcomes = {}
    with common.bar(title, options.alone_steps + len(METHODS) * options.steps) as bar:
        source = stream(known, options, np.random.default_rng([seed, 1]))
        train(start, source, options.alone_steps, options.rate, bar.step)
        for name, kind in METHODS.items():
            model = refined(copy.deepcopy(start.net), kind, options.iterations, choosing)

            def step(state: str, name: str = name) -> None:
                bar.step(f"{name}: {state}")

            source = stream(known, options, np.random.default_rng([seed, 2]))
            loss = train(model, source, options.steps, options.fine_rate, step)
            outcomes[name] = Outcome(
                [data.mean_iou(labels_of(model, one), one.scene) for g in held_out for one in g],
                nets.strength(model.layer),
                [labels_of(model, group[0]) for group in held_out],
                loss,
            )
    return outcomes, [group[0] for group in held_out]


# --- results ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A method over all runs, percent."""

    iou: float
    spread: float
    """Standard deviation over the runs (their splits and seeds)."""
    gain: float
    """Over the network alone, in the same run."""
    gain_spread: float
    strength: float
    """Geometric mean of the learned strengths."""


def summary(runs: Sequence[Mapping[str, Outcome]]) -> dict[str, Row]:
    """Mean and spread by method."""
    rows = {}
    alone = np.array([np.mean(outcomes[ALONE].iou) for outcomes in runs])
    for name in runs[0]:
        iou = np.array([np.mean(outcomes[name].iou) for outcomes in runs])
        strengths = [outcomes[name].strength for outcomes in runs]
        rows[name] = Row(
            100 * float(iou.mean()),
            _spread(100 * iou),
            100 * float((iou - alone).mean()),
            _spread(100 * (iou - alone)),
            statistics.geometric_mean(strengths) if name != ALONE else 0.0,
        )
    return rows


def _spread(values: npt.NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def report(rows: Mapping[str, Row], runs: int) -> None:
    """Print the table."""
    common.table(
        f"mean IoU of held-out images, %, mean +- spread, runs: {runs}",
        ["method", "mIoU", "+-", "gain", "+-", "strength"],
        [
            [name, f"{row.iou:.2f}", common.spread(row.spread, runs)]
            + (
                ["", "", ""]
                if name == ALONE
                else [
                    f"{row.gain:+.2f}",
                    common.spread(row.gain_spread, runs),
                    f"{row.strength:.2g}",
                ]
            )
            for name, row in rows.items()
        ],
    )


def scenes(options: Options, folder: Path, small: bool) -> dict[str, list[data.Scene]]:
    """What a run learns from and is judged on, by image."""
    if options.painted:
        count, size = (3, (60, 80)) if small else (24, (120, 160))
        return {f"painted {n}": [data.painted(n, *size)] for n in range(count)}
    pool = data.bsds(folder)
    return dict(list(pool.items())[:3]) if small else pool


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, draw."""
    parser = common.parser(__doc__, "segment-refine")
    parser.add_argument("--runs", type=int, help="splits and seeds (3; small: 1)")
    parser.add_argument("--painted", action="store_true", help="synthetic scenes, no data needed")
    parser.add_argument("--edges", choices=("canny", "exponential", "constant"), default="canny")
    given = parser.parse_args(arguments)
    options = dataclasses.replace(
        SMALL if given.small else Options(), painted=given.painted, edges=given.edges
    )
    if options.painted and not given.small:
        options = dataclasses.replace(options, held_out=12)
    common.prepare(given.seed, given.threads)
    results = common.Results(given.output, given.small)
    try:
        pool = scenes(options, given.data, given.small)
    except FileNotFoundError as error:
        parser.error(f"--data: {error}; --painted needs none")
    count = given.runs or (1 if given.small else 3)
    runs = [run(pool, options, given.seed + n, f"run {n + 1}") for n in range(count)]
    rows = summary([outcomes for outcomes, _ in runs])
    report(rows, count)
    name = "segment_refine_painted" if options.painted else "segment_refine"
    results.json(
        f"{name}.json",
        {
            "options": dataclasses.asdict(options),
            "methods": {name: dataclasses.asdict(row) for name, row in rows.items()},
            "runs": [
                {name: 100 * statistics.fmean(o.iou) for name, o in outcomes.items()}
                for outcomes, _ in runs
            ],
        },
    )
    from _segment_picture import draw

    results.figure(name, draw([outcomes for outcomes, _ in runs], runs[0][1], rows))
    results.say()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
