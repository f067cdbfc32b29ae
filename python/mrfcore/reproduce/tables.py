# SPDX-License-Identifier: Apache-2.0
"""The registry of tables that ``mrfcore reproduce`` knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from . import resource_tables, transparent_tables
from .energy_tables import ProblemCache, Run, execute, plan
from .job import Job, OnIteration
from .ledger import Cell
from .printed import PARTS


def _energy_jobs(table: str, data: Path | None, quick: bool) -> list[Job]:
    if data is None:
        raise ValueError(f"data: Table {table} needs the folder with the images")
    if not data.is_dir():
        raise ValueError(f"data: {data} is not a folder")
    problems = ProblemCache(data)
    return [_energy_job(run, data, problems) for run in plan(table, quick)]


def _energy_job(run: Run, data: Path, problems: ProblemCache) -> Job:
    def work(threads: int | None, on_iteration: OnIteration | None) -> list[Cell]:
        return list(execute(run, problems.get(run), threads=threads, on_iteration=on_iteration))

    return Job(
        title=run.title,
        iterations=run.iterations * (2 if run.has_other_rho else 1),
        files=run.problem.paths(data),
        run=work,
        keys=tuple((part.name, run.title) for part in run.parts),
    )


def _transparent_jobs(table: str, _: Path | None, quick: bool) -> list[Job]:
    return transparent_tables.plan(table, quick)


def _resource_jobs(table: str, _: Path | None, quick: bool) -> list[Job]:
    return resource_tables.plan(table, quick)


# Name on the command line -> (data folder, quick) -> jobs. A later table adds its line here.
TABLES: dict[str, Callable[[Path | None, bool], list[Job]]] = {
    **{table: partial(_energy_jobs, table) for table in PARTS},
    **{table: partial(_transparent_jobs, table) for table in transparent_tables.PRINTED},
    **{table: partial(_resource_jobs, table) for table in resource_tables.PRINTED},
}


def plan_jobs(tables: Iterable[str], data: Path | None, quick: bool = False) -> list[Job]:
    """The jobs of some tables.

    Raises:
        ValueError: a table is not known, or needs images and there is no folder ``data``.
    """
    jobs = []
    for table in tables:
        if table not in TABLES:
            raise ValueError(f"table: {table!r} is not known; expected one of {', '.join(TABLES)}")
        jobs += TABLES[table](data, quick)
    return jobs
