# SPDX-License-Identifier: Apache-2.0
"""Do superpixels, layers that start transparent, and message passing refine a segmentation network?

    python examples/joint_segmentation.py [ablation] [-o FOLDER] [--seed N] [--runs N] [--small]
    python examples/joint_segmentation.py initialisation [...]
    python examples/joint_segmentation.py train --data-set voc --root FOLDER [--device cuda] [...]

ablation: the shape of Table 4.4 of Zhiwei Xu's thesis (ANU 2022). A DeepLabV3+ learns synthetic
scenes with six labels; a superpixel network learns regions that people drew (BSDS500, where the
data is), then the scenes. Then all variants go on from there for the same steps on the same crops:
the network alone, + superpixels (logits made consistent), + transparent layers, + message passing
(TRWP) with the superpixels' contours as edges. Beside them, the network alone with SLIC's
superpixels when it is judged.

initialisation: the shape of Fig. 4.9. The joint network with three layers added, initialised at
random, by Xavier's rule, as Net2Net, and transparently; on logits as they are, and on non-positive
ones (each pixel's largest logit subtracted).

train: the same on PASCAL VOC, PASCAL Context or ADE20K in their usual folders, with the rates,
sizes and epochs of the thesis as presets. Start it with torchrun for several processes.

A run that was interrupted goes on from its checkpoints in FOLDER/checkpoints (--fresh starts
again). What came out: docs/examples.md.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import _common as common
import _joint_data as data
import _joint_judge as judge
import _joint_presets as presets
import _joint_train as training
import numpy as np
import torch
from torch import Tensor, nn

import mrfcore
import mrfcore.nn as mrf
from mrfcore import superpixels
from mrfcore.models import JointSegmentation, create_model

ALONE, SLIC, SUPERPIXELS, TRANSPARENT, MRF = (
    "network alone",
    "with SLIC when judged",
    "+ superpixels",
    "+ transparent layers",
    "+ message passing",
)
VARIANTS = (ALONE, SUPERPIXELS, TRANSPARENT, MRF)
INITIALISATIONS = ("random", "Xavier", "Net2Net", "transparent")
LOGITS = ("regular", "non-positive")


@dataclass(frozen=True)
class Options:
    """Sizes of a run on scenes."""

    height: int = 256
    width: int = 320
    labels: int = 6
    training: int = 300
    held_out: int = 24
    crop: int = 128
    batch: int = 8
    net_width: int = 16
    superpixel_width: int = 12
    net_steps: int = 1200
    region_steps: int = 600
    region_crop: int = 64
    superpixel_steps: int = 900
    superpixel_crop: int = 96
    joint_steps: int = 120
    net_rate: float = 3e-3
    superpixel_rate: float = 2e-3
    joint_rate: float = 3e-4
    transparent_rate: float = 3e-5
    """A tenth of the others', as in the text."""
    refine_rate: float = 3e-2
    """Of the logarithm of the layer's weight."""
    iterations: int = 5


SMALL = Options(
    height=48,
    width=64,
    training=4,
    held_out=2,
    crop=48,
    batch=2,
    net_width=4,
    superpixel_width=2,
    net_steps=3,
    region_steps=3,
    region_crop=32,
    superpixel_steps=3,
    superpixel_crop=32,
    joint_steps=3,
    iterations=2,
)


# --- the pieces ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pieces:
    """Two networks that have learned, each for itself."""

    segmentation: nn.Module
    superpixels: nn.Module
    pretrained: nn.Module | None
    """The superpixel network before it saw a scene: it had learned regions that people drew."""


@dataclass(frozen=True, eq=False)
class Run:
    """What all steps of a run share."""

    options: Options
    seed: int
    scenes: data.Data
    regions: data.Data | None
    """BSDS500, where it is."""
    checkpoints: training.Checkpoints
    where: training.Machine
    step: Callable[[str], None]

    def look(self, crop: int | None = None) -> data.Look:
        """Of training crops."""
        return data.Look(crop or self.options.crop, (0.8, 1.25))

    @property
    def steps(self) -> int:
        """Until both pieces are trained."""
        o = self.options
        return o.net_steps + o.superpixel_steps + (o.region_steps if self.regions else 0)

    def train(
        self,
        name: str,
        model: nn.Module,
        loss: training.Loss,
        groups: Sequence[Mapping[str, Any]],
        steps: int,
        of: data.Data | None = None,
        crop: int | None = None,
    ) -> list[float]:
        """A stage of this run, on its scenes; the checkpoint's name says which."""
        of = self.scenes if of is None else of
        stage = training.Stage(name, steps, self.options.batch, self.seed)
        return training.train(
            model,
            data.Crops(of.training, dataclasses.replace(self.look(crop), void=of.void)),
            loss,
            groups,
            stage,
            checkpoints=self.checkpoints,
            where=self.where,
            step=lambda state: self.step(f"{name}: {state}"),
            settings=dataclasses.asdict(self.options),
        )


def joint_loss(model: JointSegmentation) -> training.Loss:
    """Cross-entropy and, where there are superpixels, theirs; void counts in neither."""

    def loss(runner: nn.Module, image: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        return model.loss(runner(image, valid=labels != data.VOID), labels)

    return loss


def alone(net: nn.Module, labels: int) -> JointSegmentation:
    """The network without anything behind it."""
    return JointSegmentation(net, None, labels, hidden=(), auxiliary=None, consistency=None)


def superpixel_loss(net: Any, void: int) -> training.Loss:
    """Eq 4.1 with regions as properties."""

    def loss(runner: nn.Module, image: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        return {"loss": net.loss(runner(image), labels, void=void)}

    return loss


def train_pieces(run: Run) -> Pieces:
    """Both networks from scratch."""
    options = run.options
    torch.manual_seed(run.seed)
    net = create_model("deeplabv3plus-resnet18", num_labels=options.labels, width=options.net_width)
    model = alone(net, options.labels)
    groups = [{"params": list(net.parameters()), "lr": options.net_rate}]
    run.train("segmentation", model, joint_loss(model), groups, options.net_steps)
    torch.manual_seed(run.seed)  # whatever was drawn above, or came from a checkpoint
    drawer = create_model("superpixel-fcn", width=options.superpixel_width)
    groups = [{"params": list(drawer.parameters()), "lr": options.superpixel_rate}]
    pretrained = None
    if run.regions is not None:
        loss = superpixel_loss(drawer, run.regions.void)
        o = options
        run.train("regions", drawer, loss, groups, o.region_steps, run.regions, o.region_crop)
        pretrained = copy.deepcopy(drawer)
    loss = superpixel_loss(drawer, run.scenes.void)
    crop = options.superpixel_crop
    run.train("superpixels", drawer, loss, groups, options.superpixel_steps, crop=crop)
    return Pieces(net, drawer, pretrained)


# --- the ablation -------------------------------------------------------------------------------


def variant(name: str, pieces: Pieces, options: Options, seed: int) -> JointSegmentation:
    """A row of the table, on copies of the pieces."""
    net, drawer = copy.deepcopy(pieces.segmentation), copy.deepcopy(pieces.superpixels)
    if name == ALONE:
        return alone(net, options.labels)
    plain: dict[str, Any] = {"hidden": (), "auxiliary": None} if name == SUPERPIXELS else {}
    refine = None
    if name == MRF:
        refine = mrf.TRWP(
            mrfcore.Potts(),
            iterations=options.iterations,
            connectivity=8,
            weight=0.1,
            learn_weight=True,
        )
    return JointSegmentation(
        net,
        drawer,
        options.labels,
        refine=refine,
        generator=torch.Generator().manual_seed(seed),
        **plain,
    )


def fine_tune(run: Run, name: str, model: JointSegmentation) -> list[float]:
    """The joint training of a variant."""
    o = run.options
    groups = model.parameter_groups(o.joint_rate, o.joint_rate, o.transparent_rate, o.refine_rate)
    return run.train(name, model, joint_loss(model), groups, o.joint_steps)


@dataclass
class Outcome:
    """A variant in one run."""

    before: judge.Score
    after: judge.Score
    losses: list[float]


def ablation(run: Run) -> tuple[dict[str, Outcome], dict[str, JointSegmentation], Pieces]:
    """All variants, each from the same pieces."""
    pieces = train_pieces(run)
    judged = run.scenes.judged(run.look())
    outcomes, models = {}, {}
    for name in VARIANTS:
        model = variant(name, pieces, run.options, run.seed)
        before = judge.score(model, judged)
        losses = fine_tune(run, name, model)
        outcomes[name] = Outcome(before, judge.score(model, judged), losses)
        models[name] = model
        if name == ALONE:
            outcomes[SLIC] = Outcome(before, score_with_slic(run, model), losses)
    return outcomes, models, pieces


@torch.no_grad()
def score_with_slic(run: Run, model: JointSegmentation) -> judge.Score:
    """The network's logits made consistent within SLIC's superpixels."""
    judged = run.scenes.judged(run.look())
    model.eval()
    layer = mrf.LogitConsistency()
    found = []
    for image, ids in zip((image for image, _ in judged), slic(run), strict=True):
        logits = layer(model(image).logits, torch.from_numpy(ids.astype(np.int64))[None])
        found.append(logits.argmax(1)[0].numpy())
    return judge.score_of(found, [truth.numpy() for _, truth in judged], run.options.labels)


def slic(run: Run) -> list[Any]:
    """SLIC's superpixels of the held-out scenes, as many as there are cells."""
    cells = -(-run.options.height // 16) * -(-run.options.width // 16)
    scenes = run.scenes.held_out
    return [superpixels.slic(np.asarray(scenes[n][0]), cells) for n in range(len(scenes))]


def drawn_superpixels(run: Run, pieces: Pieces, joint: JointSegmentation) -> dict[str, Any]:
    """Superpixels on held-out scenes, stage by stage, beside SLIC's."""
    judged = run.scenes.judged(run.look())
    truths = [truth.numpy() for _, truth in judged]
    stages = {
        "learned from BSDS500": pieces.pretrained,
        "then from scenes": pieces.superpixels,
        "then jointly": joint.superpixels,
    }
    found = {name: judge.drawn(net, judged) for name, net in stages.items() if net is not None}
    found["SLIC"] = slic(run)
    return {
        name: dataclasses.asdict(judge.superpixel_scores(ids, truths))
        for name, ids in found.items()
    }


# --- the initialisations ------------------------------------------------------------------------


class NonPositive(nn.Module):
    """A network whose logits are at most 0: each pixel's largest is subtracted."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """The same labels and probabilities."""
        logits: Tensor = self.net(image)
        return logits - logits.amax(1, keepdim=True)


def initialised(
    manner: str, kind: str, pieces: Pieces, options: Options, seed: int
) -> JointSegmentation:
    """The joint network with three layers of its own kind."""
    net: nn.Module = copy.deepcopy(pieces.segmentation)
    if kind == "non-positive":
        net = NonPositive(net)
    generator = torch.Generator().manual_seed(seed)
    model = JointSegmentation(
        net, copy.deepcopy(pieces.superpixels), options.labels, generator=generator
    )
    if manner != "transparent":
        assert model.transparent is not None
        widths = list(model.transparent.widths)
        if manner == "Net2Net":
            widths = [widths[0]] * len(widths)  # it knows no other
        stack = nn.Sequential()
        for number, pair in enumerate(itertools.pairwise(widths)):
            if number:
                stack.append(nn.ReLU())
            stack.append(nn.Conv2d(*pair, 1))
        if manner == "Net2Net":
            mrf.net2net_init_(stack)
        else:
            rule = mrf.random_init_ if manner == "random" else mrf.xavier_init_
            rule(stack, generator=generator)
        model.transparent = stack
    return model


def initialisations(run: Run) -> dict[str, dict[str, Outcome]]:
    """By kind of logits and manner."""
    pieces = train_pieces(run)
    judged = run.scenes.judged(run.look())
    found: dict[str, dict[str, Outcome]] = {kind: {} for kind in LOGITS}
    for kind in LOGITS:
        for manner in INITIALISATIONS:
            model = initialised(manner, kind, pieces, run.options, run.seed)
            before = judge.score(model, judged)
            losses = fine_tune(run, f"{manner} {kind}", model)
            found[kind][manner] = Outcome(before, judge.score(model, judged), losses)
    return found


# --- results ------------------------------------------------------------------------------------


def mean_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation over runs."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else 0.0


def summary(runs: Sequence[Mapping[str, Outcome]]) -> dict[str, dict[str, Any]]:
    """Of each row: mean and spread of every score, before and after."""
    rows: dict[str, dict[str, Any]] = {}
    names = [field.name for field in dataclasses.fields(judge.Score)]
    for row in runs[0]:
        rows[row] = {
            when: {
                name: mean_spread([getattr(getattr(run[row], when), name) for run in runs])
                for name in names
            }
            for when in ("before", "after")
        }
    return rows


def report(title: str, rows: Mapping[str, Mapping[str, Any]], runs: int) -> None:
    """Print a table."""
    header = ("", "at first", "mIoU", "+-", "accuracy", "near", "edge F", "edge PR")
    lines = []
    for name, row in rows.items():
        after = row["after"]
        lines.append(
            (
                name,
                f"{row['before']['iou'][0]:.2f}",
                f"{after['iou'][0]:.2f}",
                common.spread(after["iou"][1], runs),
                *(f"{after[key][0]:.2f}" for key in ("accuracy", "near", "edges", "ratio")),
            )
        )
    common.table(f"{title}; held-out images, %, runs: {runs}", header, lines)


def start(given: Any, options: Options, results: common.Results, number: int) -> Run:
    """A run, with its scenes."""
    seed = given.seed + number
    try:
        regions = data.regions(given.data)
    except FileNotFoundError:
        regions = None
    if given.small and regions is not None:
        regions = dataclasses.replace(regions, training=regions.training[:4])
    scenes = data.scenes(
        options.training, options.held_out, options.height, options.width, options.labels
    )
    where = training.machine(given.device, given.amp, 0)
    kept = training.Checkpoints(results.folder / "checkpoints", given.fresh)
    return Run(options, seed, scenes, regions, kept, where, lambda _: None)


def run_ablation(given: Any, options: Options, results: common.Results, count: int) -> None:
    """The table, the picture, the numbers."""
    from _joint_picture import draw_ablation

    runs, drawn = [], []
    for number in range(count):
        run = start(given, options, results, number)
        steps = run.steps + len(VARIANTS) * options.joint_steps
        with common.bar(f"run {number + 1}", steps) as bar:
            run = dataclasses.replace(run, step=bar.step)
            outcomes, models, pieces = ablation(run)
        runs.append(outcomes)
        drawn.append(drawn_superpixels(run, pieces, models[TRANSPARENT]))
        if number == 0:
            results.figure("joint_ablation", draw_ablation(run.scenes, run.look(), models))
    rows = summary(runs)
    report("ablation", rows, count)
    common.table(
        "superpixels on held-out scenes, %, run 1",
        ("", "recall", "leak", "achievable", "number"),
        [(name, *(f"{v:.2f}" for v in scores.values())) for name, scores in drawn[0].items()],
    )
    results.json(
        "joint_ablation.json",
        {
            "options": dataclasses.asdict(options),
            "rows": rows,
            "runs": [{k: dataclasses.asdict(v.after) for k, v in run.items()} for run in runs],
            "superpixels": drawn,
        },
    )


def run_initialisations(given: Any, options: Options, results: common.Results, count: int) -> None:
    """The tables, the curves, the numbers."""
    from _joint_picture import draw_curves

    runs = []
    for number in range(count):
        run = start(given, options, results, number)
        steps = run.steps + len(INITIALISATIONS) * len(LOGITS) * options.joint_steps
        with common.bar(f"run {number + 1}", steps) as bar:
            runs.append(initialisations(dataclasses.replace(run, step=bar.step)))
    rows = {kind: summary([run[kind] for run in runs]) for kind in LOGITS}
    for kind in LOGITS:
        report(f"initialisations, {kind} logits", rows[kind], count)
    results.figure("joint_initialisation", draw_curves(runs))
    results.json(
        "joint_initialisation.json",
        {
            "options": dataclasses.asdict(options),
            "rows": rows,
            "losses": {
                kind: {m: [run[kind][m].losses for run in runs] for m in INITIALISATIONS}
                for kind in LOGITS
            },
        },
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, draw."""
    parser = common.parser(__doc__, "joint-segmentation")
    parser.add_argument(
        "task", nargs="?", default="ablation", choices=("ablation", "initialisation", "train")
    )
    parser.add_argument("--runs", type=int, help="seeds (3; small: 1)")
    parser.add_argument("--fresh", action="store_true", help="start again, checkpoints or not")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--amp", choices=("bfloat16", "float16"), help="autocast in it")
    presets.add_arguments(parser)
    given = parser.parse_args(arguments)
    common.prepare(given.seed, given.threads)
    results = common.Results(given.output, given.small)
    if given.task == "train":
        presets.train(given, parser, results)
    else:
        options = SMALL if given.small else Options()
        count = given.runs or (1 if given.small else 3)
        job = run_ablation if given.task == "ablation" else run_initialisations
        job(given, options, results, count)
    results.say()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
