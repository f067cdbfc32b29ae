# SPDX-License-Identifier: Apache-2.0
"""What the core reports of a run, as a Result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._result import Progress, Result, Trace

__all__ = ["core_callback", "make_result"]


def core_callback(
    callback: Callable[[Progress], object] | None, bounded: bool
) -> Callable[..., bool] | None:
    """The caller's function as the core calls it."""
    if callback is None:
        return None

    def call(
        item: int, iteration: int, iterations: int, energy: float, bound: float, seconds: float
    ) -> bool:
        known = bound if bounded else None
        return bool(callback(Progress(iteration, iterations, energy, known, seconds, item)))

    return call


def make_result(
    reports: list[_core.ItemReport],
    batched: bool,
    bounded: bool,
    traced: bool,
    labels: Any,
    costs: Any,
) -> Result:
    """A Result from the core's reports, one per item, and the arrays as the caller gets them."""
    trace = _trace(reports, batched, bounded) if traced else None
    if not batched:
        only = reports[0]
        bound = only.lower_bound if bounded else None
        return Result(labels, only.energy, bound, costs, trace, only.iterations)
    return Result(
        labels=labels,
        energy=np.array([r.energy for r in reports]),
        lower_bound=np.array([r.lower_bound for r in reports]) if bounded else None,
        costs=costs,
        trace=trace,
        iterations=np.array([r.iterations for r in reports]),
    )


def _trace(reports: list[_core.ItemReport], batched: bool, bounded: bool) -> Trace:
    length = max(len(r.trace_energy) for r in reports)

    def stack(values: list[list[float]]) -> npt.NDArray[np.float64]:
        rows = [
            np.pad(v, (0, length - len(v)), mode="edge") if len(v) else np.zeros(length)
            for v in values
        ]
        table: npt.NDArray[np.float64] = np.array(rows, dtype=np.float64).T
        if batched:
            return table
        only: npt.NDArray[np.float64] = table[:, 0]
        return only

    seconds = stack([r.trace_seconds for r in reports])
    return Trace(
        energy=stack([r.trace_energy for r in reports]),
        lower_bound=stack([r.trace_bound for r in reports]) if bounded else None,
        seconds=seconds.mean(axis=1) if batched else seconds,
    )
