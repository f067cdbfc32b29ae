# SPDX-License-Identifier: Apache-2.0
"""Can a network that predicts a filter for every pixel undo a motion blur?

    python examples/filter_flow_deblur.py [-o FOLDER] [--seed N] [--runs N] [--rendered] [--small]

Images (those of BSDS500 at half size; with --rendered synthetic scenes) are blurred along rows by 5
pixels and rounded to 8 bits. A small convolutional network looks at the
blurred image and predicts 7 x 7 filters; `mrfcore.nn.FilterFlow` applies them to the blurred image
(Kong 2019, section 6.3). Two kinds are compared: weights by a softmax, which are not negative and
sum to one, and filters without constraint. Each run splits the images anew, learns from crops of
some and is judged on the others. What came out: docs/examples.md.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import _common as common
import _deblur_data as data
import numpy as np
import torch
from torch import Tensor

import mrfcore.nn

KINDS = {"softmax": "softmax", "free filters": None}
_MARGIN = 4  # pixels along every side that are not judged: filters reach outside there


@dataclass(frozen=True)
class Options:
    """Sizes of a run."""

    blur: float = 5.0
    side: int = 7
    channels: int = 32
    steps: int = 1000
    batch: int = 8
    crop: int = 48
    rate: float = 2e-3
    held_out: int = 4


SMALL = Options(channels=8, steps=6, batch=2, crop=32, held_out=1)


class Deblur(torch.nn.Module):
    """Four 3 x 3 convolutions and a 1 x 1; every filter sees 11 x 11 pixels."""

    def __init__(self, options: Options, normalize: str | None) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        before = 3
        for dilation in (1, 1, 2, 1):
            layers += [
                torch.nn.Conv2d(
                    before, options.channels, 3, padding=dilation, dilation=dilation, bias=False
                ),
                torch.nn.BatchNorm2d(options.channels),
                torch.nn.ReLU(),
            ]
            before = options.channels
        taps = options.side**2
        self.body = torch.nn.Sequential(*layers)
        self.filters = torch.nn.Conv2d(before, taps, 1)
        self.flow = mrfcore.nn.FilterFlow(normalize, "replicate", return_flow=True)
        with torch.no_grad():  # to begin with, pixels mostly stay what they are
            if normalize is None:
                self.filters.weight *= 0.1
            bias = torch.zeros(taps)
            bias[taps // 2] = 1.0 if normalize is None else 1.5
            self.filters.bias = torch.nn.Parameter(bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The sharpened image and the expected flow of its filters."""
        found: tuple[Tensor, Tensor] = self.flow(image, self.filters(self.body(image - 0.45)))
        return found


# --- training and judging -----------------------------------------------------------------------


def train(
    model: Deblur,
    pairs: list[data.Pair],
    options: Options,
    random: np.random.Generator,
    step: Callable[[str], None],
) -> None:
    """Adam on the absolute difference."""
    optimiser = torch.optim.Adam(model.parameters(), lr=options.rate)
    losses: list[float] = []
    model.train()
    for number in range(options.steps):
        for group in optimiser.param_groups:
            group["lr"] = options.rate * (1.0 - number / options.steps) ** 0.9
        blurred, sharp = data.crops(pairs, options.batch, options.crop, random)
        loss = _inside((model(blurred)[0] - sharp).abs()).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        optimiser.step()
        losses.append(loss.item())
        step(f"loss {statistics.fmean(losses[-50:]):.4f}")
    model.eval()


def _inside(image: Tensor) -> Tensor:
    return image[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


@dataclass(frozen=True, eq=False)
class Judged:
    """A held-out image, sharpened."""

    pair: data.Pair
    out: Tensor
    flow: Tensor
    before: float
    """PSNR of the blurred image, dB."""
    after: float
    brightness: float
    """Mean of the result over the mean of what came in, less 1."""


@torch.no_grad()
def judge(model: Deblur, one: data.Pair) -> Judged:
    """Sharpen a whole image."""
    out, flow = model(one.blurred)
    brightness = float(_inside(out).mean() / _inside(one.blurred).mean()) - 1.0
    return Judged(
        one, out, flow, psnr(one.blurred, one.sharp), psnr(out.clamp(0, 1), one.sharp), brightness
    )


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal to noise ratio without the margin, dB; peak 1."""
    return float(-10.0 * _inside(image - truth).square().mean().log10())


def run(pool: list[data.Pair], options: Options, seed: int, title: str) -> dict[str, list[Judged]]:
    """Split, train either kind on the same crops, judge."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(pool))
    held_out = [pool[i] for i in order[: options.held_out]]
    known = [pool[i] for i in order[options.held_out :]]
    found = {}
    with common.bar(title, len(KINDS) * options.steps) as bar:
        for name, normalize in KINDS.items():
            torch.manual_seed(seed)
            model = Deblur(options, normalize)

            def step(state: str, name: str = name) -> None:
                bar.step(f"{name}: {state}")

            train(model, known, options, np.random.default_rng([seed, 1]), step)
            found[name] = [judge(model, one) for one in held_out]
    return found


# --- results ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A kind of filters over all runs."""

    before: float
    after: float
    gain: float
    spread: float
    """Standard deviation of the runs' mean gains."""
    least: float
    """Smallest gain of any held-out image."""
    brightness: float
    """Largest change of a held-out image's mean, as a share of it."""


def summary(runs: Sequence[dict[str, list[Judged]]]) -> dict[str, Row]:
    """Means of held-out images, and their spread over the runs."""
    rows = {}
    for name in KINDS:
        images = [one for outcomes in runs for one in outcomes[name]]
        gains = [statistics.fmean(o.after - o.before for o in outcomes[name]) for outcomes in runs]
        rows[name] = Row(
            statistics.fmean(one.before for one in images),
            statistics.fmean(one.after for one in images),
            statistics.fmean(gains),
            statistics.stdev(gains) if len(gains) > 1 else 0.0,
            min(one.after - one.before for one in images),
            max(abs(one.brightness) for one in images),
        )
    return rows


def report(rows: Mapping[str, Row], runs: int) -> None:
    """Print the table."""
    common.table(
        f"PSNR of held-out images, dB, runs: {runs}",
        ["filters", "blurred", "result", "gain", "+-", "least gain", "mean changes"],
        [
            [
                name,
                *(f"{value:.2f}" for value in (row.before, row.after, row.gain)),
                common.spread(row.spread, runs),
                f"{row.least:.2f}",
                f"{100 * row.brightness:.2f} %",
            ]
            for name, row in rows.items()
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, draw."""
    parser = common.parser(__doc__, "filter-flow-deblur")
    parser.add_argument("--runs", type=int, help="splits and seeds (3; small: 1)")
    parser.add_argument("--rendered", action="store_true", help="synthetic scenes, no data needed")
    given = parser.parse_args(arguments)
    options = SMALL if given.small else Options()
    common.prepare(given.seed, given.threads)
    results = common.Results(given.output, given.small)
    if given.rendered:
        count, size = (3, (60, 80)) if given.small else (12, (160, 240))
        pool = data.rendered(count, options.blur, *size)
    else:
        try:
            pool = data.real(given.data, options.blur)
        except FileNotFoundError as error:
            parser.error(f"--data: {error}; --rendered needs none")
        pool = pool[:3] if given.small else pool
    count = given.runs or (1 if given.small else 3)
    runs = [run(pool, options, given.seed + n, f"run {n + 1}") for n in range(count)]
    rows = summary(runs)
    report(rows, count)
    name = "filter_flow_deblur_rendered" if given.rendered else "filter_flow_deblur"
    results.json(
        f"{name}.json",
        {
            "options": dataclasses.asdict(options),
            "filters": {name: dataclasses.asdict(row) for name, row in rows.items()},
            "images": [
                {name: {o.pair.name: [o.before, o.after] for o in of} for name, of in one.items()}
                for one in runs
            ],
        },
    )
    from _deblur_picture import draw

    results.figure(name, draw(runs, rows))
    results.say()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
