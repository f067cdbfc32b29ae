# SPDX-License-Identifier: Apache-2.0
"""``mrfcore reproduce``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrfcore._files import atomic_file

from . import outputs
from .console import bars, errors, note, output, table

if TYPE_CHECKING:
    from mrfcore.reproduce import Cell

    Ledger = dict[tuple[str, str], Cell]  # by table and cell


def reproduce(
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE",
            help="Tables: 3.1, 3.2, 3.3, 4.2, 4.3, 5.2, 5.3, 5.4, 5.6, 5.7. Several may be given.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FOLDER",
            envvar="MRFCORE_DATA",
            help="Folder with the images, for Tables 3.1 to 3.3.",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="The ledger, written after every run. Cells that it has are kept, not computed.",
        ),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the ledger as a page.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small subset: about a minute.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute also the cells that the --json file has.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Threads.", show_default="MRFCORE_NUM_THREADS, else all"
        ),
    ] = None,
) -> None:
    """Compute published tables again and judge every printed number."""
    # Imported here: the other commands start faster without it.
    from mrfcore.reproduce import plan_jobs, to_markdown, write_json

    for path in (json, markdown):
        if path is not None:
            outputs.check_folder(path)
    jobs = plan_jobs(tables, data, quick)
    order = [key for job in jobs for key in job.keys]
    done = _known(json, order, fresh)
    pending = [job for job in jobs if not all(key in done for key in job.keys)]
    runnable = [job for job in pending if all(file.is_file() for file in job.files)]
    missing = sorted({str(f) for job in pending for f in job.files if not f.is_file()})
    if pending and not runnable:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise ValueError(
            f"data: no run of {', '.join(tables)} has its images in {data}; no such file: "
            f"{missing[0]}{more}"
        )

    def ledger() -> list[Cell]:
        """Cells in the order of the plan; earlier cells of other tables stay in front."""
        others = [cell for key, cell in done.items() if key not in order]
        return others + [done[key] for key in order if key in done]

    with bars() as progress:
        everything = progress.add_task("all runs", total=len(runnable), state="")
        current = progress.add_task("", total=None, state="")
        for index, job in enumerate(runnable):
            progress.update(everything, completed=index)
            progress.reset(current, description=job.title, total=job.iterations)
            cells = job.run(threads, lambda *_: progress.advance(current))
            done |= {(cell.table, cell.cell): cell for cell in cells}
            if json is not None:
                write_json(ledger(), json)

    cells = ledger()
    if markdown is not None:
        with atomic_file(markdown) as file:
            file.write(to_markdown(cells).encode("utf-8"))
    _show(cells)
    for name in missing:
        errors.print(f"skipped, no such file: {name}", highlight=False, soft_wrap=True)


def _known(json: Path | None, order: Sequence[tuple[str, str]], fresh: bool) -> Ledger:
    """Cells of an earlier ledger; `fresh` leaves out those of this plan, never those of others."""
    from mrfcore.reproduce import read_json

    if json is None or not json.exists():
        return {}
    cells = {(cell.table, cell.cell): cell for cell in read_json(json)}
    if fresh:
        return {key: cell for key, cell in cells.items() if key not in order}
    kept = sum(key in cells for key in order)
    if kept:
        note(f"{kept} of {len(order)} cells kept from {json}; --fresh computes them again")
    return cells


def _show(cells: list[Cell]) -> None:
    count = Counter((cell.table, cell.verdict) for cell in cells)
    rows = [(part, verdict, str(n)) for (part, verdict), n in sorted(count.items())]
    output.print(table("Ledger", ("table", "verdict", "cells"), rows, left=2))
    bad = [
        (c.table, c.cell, _number(c.printed), _number(c.ours), f"{c.difference:+.3%}")
        for c in cells
        if c.verdict == "differs"
    ]
    if bad:
        header = ("table", "cell", "printed", "ours", "difference")
        output.print(table("Differs", header, bad, left=2))


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
