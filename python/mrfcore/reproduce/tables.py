# SPDX-License-Identifier: Apache-2.0
"""The registry of tables that ``mrfcore reproduce`` knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .energy_tables import OnIteration, ProblemCache, Run, execute, plan
from .ledger import Cell
from .printed import PARTS


@dataclass(frozen=True)
class Job:
    """A piece of work that fills some cells of a table.

    Attributes:
        title: in words, for the progress bar.
        iterations: how many iterations it will report through ``on_iteration`` (about).
        files: what it reads; where one is missing the job cannot run.
        run: ``run(threads, on_iteration) -> cells``.
        keys: (table, cell) of what it fills, to skip what is known.
    """

    title: str
    iterations: int
    files: tuple[Path, ...]
    run: Callable[[int | None, OnIteration | None], list[Cell]]
    keys: tuple[tuple[str, str], ...]


def _energy_jobs(table: str, data: Path, quick: bool) -> list[Job]:
    problems = ProblemCache(data)
    return [_energy_job(run, data, problems) for run in plan(table, quick)]


def _energy_job(run: Run, data: Path, problems: ProblemCache) -> Job:
    def work(threads: int | None, on_iteration: OnIteration | None) -> list[Cell]:
        return execute(run, problems.get(run), threads=threads, on_iteration=on_iteration)

    return Job(
        title=run.title,
        iterations=run.iterations * (2 if run.has_other_rho else 1),
        files=run.problem.paths(data),
        run=work,
        keys=tuple((part.name, run.title) for part in run.parts),
    )


# Name on the command line -> (data folder, quick) -> jobs. A later table adds its line here.
TABLES: dict[str, Callable[[Path, bool], list[Job]]] = {
    table: partial(_energy_jobs, table) for table in PARTS
}


def plan_jobs(tables: Iterable[str], data: Path, quick: bool = False) -> list[Job]:
    """The jobs of some tables.

    Raises:
        ValueError: a table is not known, or there is no folder ``data``.
    """
    if not data.is_dir():
        raise ValueError(f"data: {data} is not a folder")
    jobs = []
    for table in tables:
        if table not in TABLES:
            raise ValueError(f"table: {table!r} is not known; expected one of {', '.join(TABLES)}")
        jobs += TABLES[table](data, quick)
    return jobs
