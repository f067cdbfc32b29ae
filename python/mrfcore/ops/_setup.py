# SPDX-License-Identifier: Apache-2.0
"""Arguments of the layers that are not tensors: checked once, then carried as plain values.

Plain, because a torch.library schema takes strings, numbers and lists of numbers, and torch.compile
guards on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from mrfcore import _core
from mrfcore._scalars import _checked, _choice, _integer, _threads
from mrfcore.potentials import (
    Cauchy,
    Huber,
    Potential,
    Potts,
    SGMPenalty,
    Table,
    TruncatedLinear,
    TruncatedQuadratic,
    as_potential,
)

__all__ = [
    "DEFAULTS",
    "LAYER_SOLVERS",
    "Setup",
    "core_options",
    "core_potential",
    "encode",
    "make_setup",
]

LAYER_SOLVERS: Mapping[str, tuple[str, ...]] = {
    "sgm": ("head", "min_convolution"),
    "isgmr": ("damping", "temperature", "min_convolution"),
    "trwp": ("rho", "damping", "temperature", "min_convolution"),
    "bp": ("damping", "temperature", "min_convolution"),
    "mean_field": ("normalise",),
}
"""Solvers that have a backward, and the options that each takes."""

DEFAULTS: Mapping[str, Any] = {
    "rho": None,
    "damping": 0.0,
    "head": "unary",
    "normalise": None,
    "temperature": 0.0,
    "min_convolution": "auto",
}
"""Options of solvers and what they are where nobody sets them."""


class Setup(NamedTuple):
    """All that is neither a tensor nor a weight, in the order of the ops' schema."""

    potential: str
    """One of `_FACTORIES`, or "table"."""
    parameters: tuple[float, ...]
    """Of the potential. No truncation is written as no parameter: infinity is awkward in graphs."""
    solver: str
    connectivity: int
    iterations: int
    rho: float
    """0 stands for 2 / connectivity."""
    damping: float
    head: str
    normalise: bool
    temperature: float
    store_every: int
    min_convolution: str
    threads: int
    """0 stands for the default."""


def make_setup(
    potential: str,
    parameters: tuple[float, ...],
    *,
    solver: str,
    connectivity: int,
    iterations: int,
    store_every: int,
    threads: int | None,
    **options: Any,
) -> Setup:
    """Check everything; `options` are those of `DEFAULTS`.

    Raises:
        ValueError, TypeError: the message names the argument and says what was expected.
    """
    _check_solver(solver)
    _check_options(solver, options)
    if _integer("connectivity", connectivity) not in (4, 8, 16):
        raise ValueError(f"connectivity: expected 4, 8 or 16, got {connectivity}")
    if _integer("store_every", store_every) < 1:
        raise ValueError(f"store_every: expected a number >= 1, got {store_every}")
    rho = options["rho"]
    return Setup(
        potential=potential,
        parameters=parameters,
        solver=solver,
        connectivity=connectivity,
        iterations=_integer("iterations", iterations),
        rho=0.0
        if rho is None
        else _checked("rho", rho, lambda r: 1e-3 < r <= 1, "a number in (0.001, 1]"),
        damping=_checked("damping", options["damping"], lambda d: 0 <= d < 1, "a number in [0, 1)"),
        head=_choice("head", options["head"], ("unary", "zero")),
        normalise=_choice("normalise", options["normalise"], (None, "directions")) is not None,
        temperature=_checked(
            "temperature",
            options["temperature"],
            lambda t: t == 0 or 1e-6 <= t <= 1e6,
            "0 (hard minima) or a number in [1e-6, 1e6]",
        ),
        store_every=store_every,
        min_convolution=_choice("min_convolution", options["min_convolution"], ("auto", "general")),
        threads=_threads(threads),
    )


def _check_solver(solver: object) -> None:
    if not isinstance(solver, str):
        raise TypeError(f"solver: expected a name, got {type(solver).__name__}")
    if solver in LAYER_SOLVERS:
        return
    names = ", ".join(LAYER_SOLVERS)
    if solver in ("trws", "icm", "chain"):
        raise ValueError(
            f"solver: expected one with a backward ({names}), got {solver!r}, which only "
            "mrfcore.minimize has"
        )
    raise ValueError(f"solver: expected one of {names}, got {solver!r}")


def _check_options(solver: str, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        default = DEFAULTS[name]
        if name not in LAYER_SOLVERS[solver] and value is not default and value != default:
            valid = ", ".join(LAYER_SOLVERS[solver])
            raise TypeError(
                f"{name}: not an option of solver {solver!r}, got {value!r}; its options are "
                f"{valid}"
            )


def encode(pairwise: object) -> tuple[str, tuple[float, ...], torch.Tensor | None]:
    """A potential as (name, parameters, table or None)."""
    if isinstance(pairwise, torch.Tensor):
        return "table", (), pairwise
    potential = as_potential(pairwise)
    if isinstance(potential, Potts):
        return "potts", (), None
    if isinstance(potential, (TruncatedLinear, TruncatedQuadratic)):
        name = "linear" if isinstance(potential, TruncatedLinear) else "quadratic"
        t = float(potential.truncation)
        return f"truncated_{name}", () if t == float("inf") else (t,), None
    if isinstance(potential, SGMPenalty):
        return "sgm_penalty", (float(potential.p1), float(potential.p2)), None
    if isinstance(potential, Huber):
        return "huber", (float(potential.delta),), None
    if isinstance(potential, Cauchy):
        return "cauchy", (float(potential.scale),), None
    if isinstance(potential, Table):
        return "table", (), torch.tensor(potential.values)
    raise TypeError(f"pairwise: no layer for potentials of type {type(potential).__name__}")


_FACTORIES: Mapping[str, Callable[..., Potential]] = {
    "potts": Potts,
    "truncated_linear": TruncatedLinear,
    "truncated_quadratic": TruncatedQuadratic,
    "sgm_penalty": SGMPenalty,
    "huber": Huber,
    "cauchy": Cauchy,
}


def core_potential(name: str, parameters: list[float], table: torch.Tensor | None) -> Any:
    """The core's potential; a table is copied in float64, whatever its dtype."""
    if table is None:
        return _FACTORIES[name](*parameters)._to_core()
    values = table.detach().to(torch.float64).contiguous().numpy()
    try:
        return _core.Potential.table(values)
    except ValueError as error:  # mrfcore.Table calls it V
        raise ValueError("pairwise" + str(error).removeprefix("V")) from None


def core_options(setup: Setup) -> Any:
    """The core's options."""
    o = _core.LayerOptions()
    o.solver = getattr(_core.Solver, setup.solver)
    o.iterations = setup.iterations
    o.threads = setup.threads
    o.rho = setup.rho
    o.damping = setup.damping
    o.head = getattr(_core.SGMHead, setup.head)
    o.normalise_directions = setup.normalise
    o.min_convolution = getattr(_core.MinConvolution, setup.min_convolution)
    o.temperature = setup.temperature
    o.store_every = setup.store_every
    return o
