# SPDX-License-Identifier: Apache-2.0
"""Tables 4.2 and 4.3: how well initialisations hand an input on. They need no data, but torch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mrfcore._torch import require_torch

from .job import Job, OnIteration
from .ledger import Cell, Verdict, judge_decimals

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["INTRODUCTION", "PRINTED", "plan"]

# Zhiwei Xu's thesis (ANU 2022), section 4.4.1, as printed.
_RATES = ("init. rate", "recovery rate without activation", "recovery rate with ReLU")
PRINTED: dict[str, dict[str, tuple[float, ...]]] = {
    "4.2": {
        "Random": (98.2, 0.0, 0.0),
        "Xavier": (98.2, 0.0, 0.0),
        "Net2Net": (2.3, 100.0, 50.0),
        "Ours": (99.9, 100.0, 100.0),
    },
    "4.3": {"Ours": (6.8e-6, 6.6e-5, 6.5e-4, 6.6e-3)},
}
_ORDERS = (1.0, 10.0, 100.0, 1000.0)
_WIDTHS = (42, 64, 64, 42)
_SQUARE = (42, 42, 42, 42)  # Net2Net has no other
_SHAPE = (4, 42, 512, 512)
_SMALL = (4, 42, 128, 128)
_RANGE = 10.0
_SEED = 0

INTRODUCTION = """\
# Tables 4.2 and 4.3, reproduced

Written by `mrfcore reproduce`; do not edit. The printed tables are those of section 4.4.1 of Zhiwei
Xu, *Applications of Markov Random Field Optimization and 3D Neural Network Pruning in Computer
Vision*, PhD thesis, ANU 2022.

Three layers of 1 x 1 convolutions, 42 to 64 to 64 to 42 channels (Net2Net: 42 throughout; ours with
ReLU: hidden layers of 128, which is the doubling), on inputs of 4 x 42 x 512 x 512. The
initialisation rate is the share of the parameters, biases included, with an absolute value above
1e-4; the recovery rate the share of outputs that differ from the input by less than 1e-4. What the
text leaves open: the inputs are uniform in [-10, 10] (the text says normal, the caption gives the
range), "Random" is uniform in [0, 1), biases of the rivals are 0: with these the rates come out.
Ours are `mrfcore.nn.TransparentSequence`, built in float64, run in float32, one seed. Table 4.3 is
the largest error with ReLU by range of the inputs; "better" is a smaller one than the print's.
"""


def plan(table: str, quick: bool = False) -> list[Job]:
    """The jobs of "4.2" or "4.3"; ``quick`` takes small inputs."""
    shape = _SMALL if quick else _SHAPE
    if table == "4.2":
        return [_rate_job(manner, shape) for manner in PRINTED[table]]
    return [_error_job(index, shape) for index in range(len(_ORDERS))]


def _rate_job(manner: str, shape: tuple[int, ...]) -> Job:
    names = [f"{manner} / {rate}" for rate in _RATES]

    def values() -> tuple[float, ...]:
        from mrfcore.nn import transparency_report

        x = _inputs(shape, _RANGE)
        plain, active = (transparency_report(_stack(manner, relu), x) for relu in (False, True))
        return plain.init_rate, plain.recovery_rate, active.recovery_rate

    def judge(printed: float, ours: float) -> Verdict:
        return judge_decimals(printed, ours, 1)

    return _job("4.2", names, PRINTED["4.2"][manner], values, judge)


def _error_job(index: int, shape: tuple[int, ...]) -> Job:
    order = _ORDERS[index]

    def values() -> tuple[float, ...]:
        from mrfcore.nn import transparency_report

        return (transparency_report(_stack("Ours", True), _inputs(shape, order)).max_error,)

    def judge(printed: float, ours: float) -> Verdict:
        return "better" if ours <= printed else "differs"

    name = f"Ours / inputs in [-{order:g}, {order:g}] / max. error"
    return _job("4.3", [name], (PRINTED["4.3"]["Ours"][index],), values, judge)


def _job(
    table: str,
    names: list[str],
    printed: tuple[float, ...],
    values: Callable[[], tuple[float, ...]],
    judge: Callable[[float, float], Verdict],
) -> Job:
    def run(threads: int | None, on_iteration: OnIteration | None) -> list[Cell]:
        require_torch(f"mrfcore reproduce {table}")
        start = time.perf_counter()
        with _threads(threads):
            found = values()
        seconds = round(time.perf_counter() - start, 3)
        if on_iteration is not None:
            on_iteration(1, 1)
        return [
            Cell(
                table=table,
                cell=name,
                printed=wanted,
                ours=ours,
                verdict=judge(wanted, ours),
                seconds=seconds,
            )
            for name, wanted, ours in zip(names, printed, found, strict=True)
        ]

    title = names[0].partition(" / ")[0] if table == "4.2" else names[0]
    return Job(f"Table {table}: {title}", 1, (), run, tuple((table, name) for name in names))


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Torch's threads for the length of a block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _inputs(shape: tuple[int, ...], order: float) -> Tensor:
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    return torch.rand(shape, generator=generator).sub_(0.5).mul_(2 * order)


def _stack(manner: str, relu: bool) -> nn.Module:
    """Three layers, initialised in a manner."""
    import torch
    from torch import nn

    from mrfcore.nn import TransparentSequence, net2net_init_, random_init_, xavier_init_

    generator = torch.Generator().manual_seed(_SEED)
    if manner == "Ours":
        return TransparentSequence(_WIDTHS, "relu" if relu else None, generator=generator)
    widths = _SQUARE if manner == "Net2Net" else _WIDTHS
    layers = nn.Sequential()
    for number, (incoming, outgoing) in enumerate(itertools.pairwise(widths)):
        if number and relu:
            layers.append(nn.ReLU())
        layers.append(nn.Conv2d(incoming, outgoing, 1))
    if manner == "Net2Net":
        net2net_init_(layers)
    else:
        (random_init_ if manner == "Random" else xavier_init_)(layers, generator=generator)
    return layers
