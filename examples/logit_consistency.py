# SPDX-License-Identifier: Apache-2.0
"""Do superpixels sharpen the logits of a coarse segmentation network?

    python examples/logit_consistency.py [-o FOLDER] [--seed N] [--runs N] [--painted] [--small]

Images and regions are those of BSDS500, drawn by people; with --painted, synthetic scenes. Logits
are made from the regions as a network of stride 16 would give them: averaged over 16 x 16 pixels,
up-sampled, with independent noise on every pixel (--stride, --noise). So they are unsure along
boundaries and noisy everywhere. `mrfcore.nn.LogitConsistency` replaces each pixel's logits by their
mean over its superpixel (Eq 4.13-4.14), with SLIC superpixels of the image. Beside it, what needs
no image: squares of the same number, and a Gaussian blur of the logits whose width is the best for
these very images. What came out: docs/examples.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import _common as common
import _regions as data
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

import mrfcore.nn
from mrfcore import superpixels

NOISY, SQUARES, BLUR, SLIC = "as they are", "squares", "Gaussian blur", "SLIC"
METHODS = (NOISY, SQUARES, BLUR, SLIC)
SMOOTHING = 1.0  # of the image before SLIC: noise breaks superpixels into pieces
BAND = 4  # a pixel within so many rows and columns of a boundary belongs to its band
WIDTHS = (1.0, 2.0, 3.0, 4.0, 6.0)  # of the Gaussian, in pixels


@dataclass(frozen=True)
class Options:
    """Sizes of a run."""

    stride: int = 16
    noise: float = 0.3
    """Standard deviation on every pixel and channel; logits lie between 0 and 1."""
    superpixels: tuple[int, ...] = (100, 200, 400, 800, 1600)
    shown: int = 800
    """Superpixels of the table and the picture."""


SMALL = Options(superpixels=(100, 400), shown=400)


@dataclass(frozen=True, eq=False)
class Case:
    """An image with noisy logits of its regions."""

    scene: data.Scene
    logits: Tensor
    """[1, regions, H, W]."""
    band: npt.NDArray[np.bool_]
    """[H, W]: near a boundary of regions."""


def noisy_logits(scene: data.Scene, options: Options, generator: torch.Generator) -> Tensor:
    """[1, regions, H, W]: what share of a cell is of a region, bilinear, and noise."""
    regions = torch.from_numpy(scene.regions)
    ideal = functional.one_hot(regions.clamp(min=0), scene.count).movedim(2, 0).float()
    ideal = (ideal * (regions >= 0))[None]
    size = regions.shape
    coarse = functional.avg_pool2d(ideal, options.stride, ceil_mode=True, count_include_pad=False)
    smooth = functional.interpolate(coarse, scale_factor=options.stride, mode="bilinear")
    smooth = smooth[..., : size[0], : size[1]]
    return smooth + options.noise * torch.randn(smooth.shape, generator=generator)


def band(regions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Pixels with another region within BAND rows and columns; regions left out do not count."""
    known = torch.from_numpy(regions).float()[None, None]
    size = 2 * BAND + 1
    highest = functional.max_pool2d(known, size, 1, BAND)
    lowest = -functional.max_pool2d(-torch.where(known < 0, torch.inf, known), size, 1, BAND)
    near: npt.NDArray[np.bool_] = (highest > lowest)[0, 0].numpy()
    return near & (regions >= 0)


def squares(shape: tuple[int, int], num: int) -> npt.NDArray[np.int64]:
    """Ids [H, W] of about `num` equal cells."""
    side = (shape[0] * shape[1] / num) ** 0.5
    rows, columns = max(1, round(shape[0] / side)), max(1, round(shape[1] / side))
    y = np.arange(shape[0]) * rows // shape[0]
    x = np.arange(shape[1]) * columns // shape[1]
    return np.asarray(y[:, None] * columns + x)


def blurred(logits: Tensor, width: float) -> Tensor:
    """A Gaussian, rows and columns one after the other."""
    reach = int(3 * width + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / width) ** 2)
    kernel = (kernel / kernel.sum()).expand(logits.shape[1], 1, 1, -1)
    padded = functional.pad(logits, (reach,) * 4, mode="replicate")
    along = functional.conv2d(padded, kernel, groups=logits.shape[1])
    return functional.conv2d(along, kernel.transpose(2, 3), groups=logits.shape[1])


# --- judging ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """Shares of pixels with the right label."""

    everywhere: float
    near: float
    """Within the band of the boundaries."""


def labels_of(logits: Tensor) -> npt.NDArray[np.int64]:
    """[H, W]."""
    found: npt.NDArray[np.int64] = logits.argmax(1)[0].numpy()
    return found


def score(labels: npt.NDArray[np.int64], case: Case) -> Score:
    """Pixels of regions left out do not count."""
    right, counts = labels == case.scene.regions, case.scene.regions >= 0
    return Score(float(right[counts].mean()), float(right[case.band].mean()))


def consistent(logits: Tensor, ids: npt.NDArray[np.int64]) -> Tensor:
    """The operator that this is about."""
    layer = mrfcore.nn.LogitConsistency()
    found: Tensor = layer(logits, torch.from_numpy(ids.astype(np.int64))[None])
    return found


@dataclass(frozen=True, eq=False)
class Run:
    """All images with one draw of the noise."""

    cases: list[Case]
    labels: list[dict[str, npt.NDArray[np.int64]]]
    """By image and method, for the number of superpixels that is shown."""
    scores: list[dict[str, Score]]
    curve: dict[int, tuple[Score, Score]]
    """By number of superpixels: squares and SLIC, means of the images."""
    width: float


def run(
    scenes: Sequence[data.Scene],
    maps: Mapping[int, Sequence[npt.NDArray[np.int64]]],
    options: Options,
    seed: int,
) -> Run:
    """Draw noise, try all methods."""
    generator = torch.Generator().manual_seed(seed)
    cases = [Case(s, noisy_logits(s, options, generator), band(s.regions)) for s in scenes]
    width = max(WIDTHS, key=lambda w: _mean([_blur_score(case, w) for case in cases]).everywhere)
    labels, scores = [], []
    for number, case in enumerate(cases):
        ids = maps[options.shown][number]
        found = {
            NOISY: labels_of(case.logits),
            SQUARES: labels_of(consistent(case.logits, squares(ids.shape, options.shown))),
            BLUR: labels_of(blurred(case.logits, width)),
            SLIC: labels_of(consistent(case.logits, ids)),
        }
        labels.append(found)
        scores.append({name: score(of, case) for name, of in found.items()})
    curve = {
        num: (
            _mean([_score_of(case, squares(case.band.shape, num)) for case in cases]),
            _mean([_score_of(case, i) for case, i in zip(cases, ids, strict=True)]),
        )
        for num, ids in maps.items()
    }
    return Run(cases, labels, scores, curve, width)


def _score_of(case: Case, ids: npt.NDArray[np.int64]) -> Score:
    return score(labels_of(consistent(case.logits, ids)), case)


def _blur_score(case: Case, width: float) -> Score:
    return score(labels_of(blurred(case.logits, width)), case)


def _achievable(ids: npt.NDArray[np.int64], scene: data.Scene) -> float:
    counts = scene.regions >= 0
    return superpixels.achievable_accuracy(ids[counts][None], scene.regions[counts][None])


def _mean(scores: Sequence[Score]) -> Score:
    return Score(
        float(np.mean([s.everywhere for s in scores])), float(np.mean([s.near for s in scores]))
    )


# --- results ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A method over all runs, percent."""

    everywhere: float
    everywhere_spread: float
    """Standard deviation over the runs (their noise)."""
    near: float
    near_spread: float
    better: float
    """Share of images on which it is better near boundaries than the logits as they are."""


def summary(runs: Sequence[Run]) -> dict[str, Row]:
    """Mean and spread by method."""
    rows = {}
    for name in METHODS:
        means = [_mean([scores[name] for scores in one.scores]) for one in runs]
        everywhere = np.array([100 * mean.everywhere for mean in means])
        near = np.array([100 * mean.near for mean in means])
        better = [s[name].near > s[NOISY].near for one in runs for s in one.scores]
        spread = [float(v.std(ddof=1)) if len(runs) > 1 else 0.0 for v in (everywhere, near)]
        rows[name] = Row(
            float(everywhere.mean()),
            spread[0],
            float(near.mean()),
            spread[1],
            np.mean(better) * 100,
        )
    return rows


def report(rows: Mapping[str, Row], best: float, scenes: int, runs: int, options: Options) -> None:
    """Print the table."""
    common.table(
        f"right labels, %; images: {scenes}, superpixels: {options.shown}, draws of noise: {runs}",
        ["logits", "all pixels", "+-", "near", "+-", "images where better"],
        [
            [
                name,
                f"{row.everywhere:.2f}",
                common.spread(row.everywhere_spread, runs),
                f"{row.near:.2f}",
                common.spread(row.near_spread, runs),
                "-" if name == NOISY else f"{row.better:.0f} %",
            ]
            for name, row in rows.items()
        ],
    )
    common.output.print(
        f"near: within {BAND} pixels of a boundary; labels of whole SLIC superpixels can be right "
        f"for {best:.2f} % at best"
    )


def scenes_of(folder: Path, painted: bool, small: bool) -> list[data.Scene]:
    """One scene for each image: the first person's regions."""
    if painted:
        count, size = (2, (60, 80)) if small else (12, (160, 240))
        return [data.painted(n, *size) for n in range(count)]
    pool = [people[0] for people in data.bsds(folder).values()]
    return pool[:2] if small else pool


def main(arguments: Sequence[str] | None = None) -> int:
    """Make logits noisy, sharpen, judge, draw."""
    parser = common.parser(__doc__, "logit-consistency")
    parser.add_argument("--runs", type=int, help="draws of the noise (5; small: 1)")
    parser.add_argument("--painted", action="store_true", help="synthetic scenes, no data needed")
    parser.add_argument("--stride", type=int, default=16, help="of the network, in pixels (16)")
    parser.add_argument("--noise", type=float, default=0.3, help="standard deviation (0.3)")
    given = parser.parse_args(arguments)
    if given.stride < 1 or given.noise < 0:
        parser.error("--stride: expected a number >= 1; --noise: expected a number >= 0")
    options = dataclasses.replace(
        SMALL if given.small else Options(), stride=given.stride, noise=given.noise
    )
    common.prepare(given.seed, given.threads)
    results = common.Results(given.output, given.small)
    try:
        scenes = scenes_of(given.data, given.painted, given.small)
    except FileNotFoundError as error:
        parser.error(f"--data: {error}; --painted needs none")
    maps = {
        n: [superpixels.slic(s.image, n, sigma=SMOOTHING) for s in scenes]
        for n in options.superpixels
    }
    count = given.runs or (1 if given.small else 5)
    runs = []
    with common.bar("noise", count) as bar:
        for number in range(count):
            runs.append(run(scenes, maps, options, given.seed + number))
            bar.step(f"draw {number + 1}")
    rows = summary(runs)
    best = 100 * np.mean(
        [_achievable(*two) for two in zip(maps[options.shown], scenes, strict=True)]
    )
    report(rows, best, len(scenes), count, options)
    name = "logit_consistency_painted" if given.painted else "logit_consistency"
    results.json(
        f"{name}.json",
        {
            "options": dataclasses.asdict(options),
            "methods": {name: dataclasses.asdict(row) for name, row in rows.items()},
            "achievable": float(best),
            "widths": [one.width for one in runs],
            "near_by_superpixels": {
                num: [100 * _mean([one.curve[num][i] for one in runs]).near for i in (0, 1)]
                for num in maps
            },
        },
    )
    from _consistency_picture import draw

    results.figure(name, draw(runs, rows, maps[options.shown]))
    results.say()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
