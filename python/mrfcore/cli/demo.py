# SPDX-License-Identifier: Apache-2.0
"""``mrfcore demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from mrfcore import Progress

from . import outputs
from .console import bars, errors, number, output, relative_gap, significant, table, written

if TYPE_CHECKING:
    from mrfcore.demo import Entry


def demo(
    folder: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder for the pictures and demo.json."
        ),
    ] = Path("mrfcore-demo"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A small rendered scene only: seconds.")
    ] = False,
    iterations: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Iterations of each solver.", show_default="20, quick: 5"
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Threads.", show_default="MRFCORE_NUM_THREADS, else all"
        ),
    ] = None,
) -> None:
    """Compare all solvers on a real stereo pair and on a rendered one."""
    from mrfcore import demo as the_demo

    outputs.check_new_folder(folder)
    pairs = the_demo.pairs(quick)
    if len(pairs) == 1 and not quick:
        errors.print("for a real pair beside the rendered one: pip install scikit-image")
    steps = iterations or (5 if quick else 20)
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    pictures: list[Path] = []
    for pair in pairs:
        with bars() as progress:
            total = steps * (len(the_demo.SOLVERS) - 1) + 1
            task = progress.add_task(pair.name, total=total, state="")

            def report(solver: str, step: Progress) -> None:
                state = f"{solver}: energy {number(step.energy)}"
                progress.update(task, advance=1, state=state)  # noqa: B023 - used in this pass only

            found = the_demo.compare(pair, iterations=steps, threads=threads, report=report)
        picture = folder / f"{pair.name.replace(' ', '-')}.png"
        the_demo.draw(pair, found, picture)
        output.print(_table(pair.name, found))
        entries += found
        pictures.append(picture)
    the_demo.write_json(entries, folder / "demo.json")
    written(*pictures, folder / "demo.json")


def _table(name: str, entries: list[Entry]) -> Table:
    header = (
        "solver", "energy", "bound", "gap\n%", "above\nbest\nbound\n%",
        "ms /\niter.", "s", "bad-1\nall\n%", "bad-1\nnon-\nocc.\n%",
    )  # fmt: skip

    def share(value: float | None) -> str:
        return "-" if value is None else number(100 * value, 2 if value < 1 else 0)

    rows = [
        (
            entry.solver,
            number(entry.energy),
            number(entry.lower_bound),
            share(None if entry.energy is None else relative_gap(entry.energy, entry.lower_bound)),
            share(entry.above_bound),
            significant(entry.milliseconds),
            significant(entry.seconds),
            *(
                number(entry.errors[region].bad_1, 2) if region in entry.errors else "-"
                for region in ("all", "nonocc")
            ),
        )
        for entry in entries
    ]
    return table(name, header, rows)
