# SPDX-License-Identifier: Apache-2.0
"""``mrfcore reproduce``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrfcore._files import atomic_file

from .console import bars, errors, output, table

if TYPE_CHECKING:
    from mrfcore.reproduce import Cell


def reproduce(
    tables: Annotated[list[str], typer.Argument(help="Tables: 3.1, 3.2, 3.3.")],
    data: Annotated[
        Path, typer.Option("--data", envvar="MRFCORE_DATA", help="Folder with the images.")
    ],
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the ledger, updated after every run.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the ledger as a page.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small subset: about a minute.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the cells that the --json file has.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads.")] = None,
) -> None:
    """Compute published tables again and judge every printed number."""
    # Imported here: the other commands start faster without it.
    from mrfcore.reproduce import plan_jobs, read_json, to_markdown, write_json

    jobs = plan_jobs(tables, data, quick)
    if resume and json is None:
        raise typer.BadParameter(
            "needs --json FILE, the ledger to go on with", param_hint="--resume"
        )
    done: dict[tuple[str, str], Cell] = {}
    if resume and json is not None and json.exists():
        done = {(cell.table, cell.cell): cell for cell in read_json(json)}
    order = [key for job in jobs for key in job.keys]
    runnable = [job for job in jobs if all(file.is_file() for file in job.files)]
    missing = sorted({str(f) for job in jobs for f in job.files if not f.is_file()})

    def ledger() -> list[Cell]:
        """Cells in the order of the plan; earlier cells of other tables stay in front."""
        others = [cell for key, cell in done.items() if key not in order]
        return others + [done[key] for key in order if key in done]

    with bars() as progress:
        everything = progress.add_task("all runs", total=len(runnable), state="")
        current = progress.add_task("", total=None, state="")
        for index, job in enumerate(runnable):
            progress.update(everything, completed=index)
            if all(key in done for key in job.keys):
                continue
            progress.reset(current, description=job.title, total=job.iterations)
            cells = job.run(threads, lambda *_: progress.advance(current))
            done |= {(cell.table, cell.cell): cell for cell in cells}
            if json is not None:
                write_json(ledger(), json)

    cells = ledger()
    if json is not None:
        write_json(cells, json)
    if markdown is not None:
        with atomic_file(markdown) as file:
            file.write(to_markdown(cells).encode("utf-8"))
    _show(cells)
    for name in missing:
        errors.print(f"skipped, no such file: {name}", highlight=False, soft_wrap=True)


def _show(cells: list[Cell]) -> None:
    count = Counter((cell.table, cell.verdict) for cell in cells)
    rows = [(part, verdict, str(n)) for (part, verdict), n in sorted(count.items())]
    output.print(table("Ledger", ("table", "verdict", "cells"), rows, left=2))
    bad = [
        (c.table, c.cell, f"{c.printed:.0f}", f"{c.ours:.0f}", f"{c.relative_difference:+.3%}")
        for c in cells
        if c.verdict == "differs"
    ]
    if bad:
        header = ("table", "cell", "printed", "ours", "difference")
        output.print(table("Differs", header, bad, left=2))
