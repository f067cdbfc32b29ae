# SPDX-License-Identifier: Apache-2.0
"""Runs the methods of Tables 3.1 to 3.3 and turns their labellings into ledger cells."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import mrfcore

from .energies import benchmark_single_precision_energy, single_precision_energy
from .instances import INSTANCES, VENUS_OF_TRWS, Instance, Problem
from .job import OnIteration
from .ledger import EnergyCell, judge
from .printed import MISPRINTS, PARTS, CellKey, PrintedPart

Labels = npt.NDArray[np.int32]

# Method name in the print -> solver and the options that give the printed numbers.
_SOLVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "MF": ("mean_field", {"normalise": "directions"}),
    "SGM": ("sgm", {"head": "zero"}),
    "TRWS": ("trws", {"min_convolution": "general"}),
    "ISGMR": ("isgmr", {}),
    "TRWP": ("trwp", {"rho": 0.5, "polish": 0, "coarse": 0}),
}


@dataclass(frozen=True)
class Run:
    """A method on an instance for so many iterations; fills a cell of (a), perhaps of (b)."""

    method: str
    instance: str
    iterations: int

    @property
    def directions(self) -> int:
        """Connectivity of the method."""
        return int(self.method.partition("-")[2])

    @property
    def problem(self) -> Instance:
        """The problem that the print of this cell was about."""
        if self.instance == "venus" and self.method.startswith("TRWS"):
            return VENUS_OF_TRWS
        return INSTANCES[self.instance]

    @property
    def has_other_rho(self) -> bool:
        """Whether the right rho of TRWP is another than the 1/2 of the tables."""
        return self.method.startswith("TRWP") and self.directions > 4

    @property
    def parts(self) -> list[PrintedPart]:
        """Parts that this run fills a cell of: (a), and (b) where it has more than 4 directions."""
        key = (self.instance, self.iterations)
        everything = (part for parts in PARTS.values() for part in parts)
        return [part for part in everything if key in part.values.get(self.method, {})]

    @property
    def title(self) -> str:
        """The run in words, also the name of its cells."""
        plural = "" if self.iterations == 1 else "s"
        instance = INSTANCES[self.instance].title
        return f"{self.method} / {instance} / {self.iterations} iteration{plural}"


def plan(table: str, quick: bool = False) -> list[Run]:
    """All runs of a table, cheap ones first within an instance; ``quick`` keeps a small subset.

    Raises:
        ValueError: no such table.
    """
    if table not in PARTS:
        raise ValueError(f"table: {table!r} is not known; expected one of {', '.join(PARTS)}")
    runs = {
        Run(method, instance, iterations)
        for part in PARTS[table]
        for method, row in part.values.items()
        for instance, iterations in row
    }
    order = list(INSTANCES)
    chosen = [run for run in runs if not quick or _is_quick(run)]
    return sorted(
        chosen, key=lambda r: (order.index(r.instance), r.iterations, r.directions, r.method)
    )


def _is_quick(run: Run) -> bool:
    if run.instance == "map":
        return run.iterations == 1 or run.directions == 4
    if run.instance in ("tsukuba", "facade_1s"):
        return run.iterations == 1
    # Table 3.3 has 50 iterations only, with 256 labels: the two cheapest methods on the smaller
    # image.
    return run.instance == "penguin" and run.method in ("SGM-4", "ISGMR-4")


def execute(
    run: Run,
    problem: Problem,
    *,
    threads: int | None = None,
    on_iteration: OnIteration | None = None,
) -> list[EnergyCell]:
    """Minimise and return the cells this run fills: one for 4 directions, else (a) and (b)."""
    start = time.perf_counter()
    labels = _solve(run, problem, {}, threads, on_iteration)
    seconds = time.perf_counter() - start
    other = None
    if run.has_other_rho:
        # The tables used rho = 1/2 throughout; the share of trees through an edge is 2 /
        # directions.
        other = _solve(run, problem, {"rho": 2 / run.directions}, threads, on_iteration)
    cells = [_cell(run, part, problem, labels, other, seconds) for part in run.parts]
    if run.problem is VENUS_OF_TRWS:
        cells = [replace(cell, note=_venus_note(run, problem, threads)) for cell in cells]
    return cells


def _solve(
    run: Run,
    problem: Problem,
    overrides: dict[str, Any],
    threads: int | None,
    on_iteration: OnIteration | None,
) -> Labels:
    solver, options = _SOLVERS[run.method.partition("-")[0]]

    def report(progress: Any) -> bool:
        if on_iteration is not None:
            on_iteration(progress.iteration, progress.iterations)
        return False

    # The benchmark code that gave the TRW-S rows works in double, the rest of the print in single.
    double = solver == "trws"
    result = mrfcore.minimize(
        problem.unary.astype(np.float64) if double else problem.unary,
        problem.pairwise,
        problem.weight,
        solver=solver,
        connectivity=run.directions,
        iterations=run.iterations,
        threads=threads,
        callback=None if on_iteration is None else report,
        **{**options, **overrides},
    )
    return np.asarray(result.labels, dtype=np.int32)


def _energy(problem: Problem, labels: Labels, connectivity: int) -> float:
    return float(
        mrfcore.energy(
            labels, problem.unary, problem.pairwise, problem.weight, connectivity=connectivity
        )
    )


def _cell(
    run: Run,
    part: PrintedPart,
    problem: Problem,
    labels: Labels,
    other: Labels | None,
    seconds: float,
) -> EnergyCell:
    connectivity = 4 if part.name.endswith("(a)") else run.directions
    printed = part.values[run.method][run.instance, run.iterations]
    ours = _energy(problem, labels, connectivity) / part.unit
    table = problem.pairwise.table(problem.unary.shape[2])
    terms = (labels, problem.unary, table, problem.weight)
    if run.method.startswith("TRWS"):
        single = benchmark_single_precision_energy(*terms)
    else:
        single = single_precision_energy(*terms, connectivity)
    misprint = MISPRINTS.get((part.name, run.method, run.instance, run.iterations))
    verdict = judge(printed, ours, single / part.unit, misprint is not None)
    return EnergyCell(
        table=part.name,
        cell=run.title,
        method=run.method,
        instance=run.instance,
        iterations=run.iterations,
        unit=part.unit,
        printed=printed,
        ours=ours,
        single_precision=single / part.unit,
        verdict=verdict,
        note=_note(misprint if verdict == "misprint" else None),
        right_rho=None if other is None else _energy(problem, other, connectivity) / part.unit,
        seconds=round(seconds, 3),
    )


def _note(misprint: CellKey | str | None) -> str:
    if isinstance(misprint, str):
        return misprint
    if misprint is not None:
        part, method, instance, iterations = misprint
        return f"the print has the number of {part} {Run(method, instance, iterations).title}"
    return ""


def _venus_note(run: Run, problem: Problem, threads: int | None) -> str:
    rest = INSTANCES["venus"]
    same = Problem(problem.unary, rest.pairwise, rest.weight)
    energy = _energy(same, _solve(run, same, {}, threads, None), 4)
    return (
        "V = 50 min(|d|, 7), as in the print; "
        f"with the 50 min(d^2, 49) of the other rows TRWS gives {energy:.0f}"
    )


class ProblemCache:
    """Keeps the problem of the last run: runs are sorted by instance, volumes up to 180 MB."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._last: tuple[Instance, Problem] | None = None

    def get(self, run: Run) -> Problem:
        """The problem of a run, read from the images where it is not the last one."""
        if self._last is None or self._last[0] != run.problem:
            self._last = None  # release the old volume before building the next
            self._last = (run.problem, run.problem.load(self._data))
        return self._last[1]
