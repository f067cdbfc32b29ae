# SPDX-License-Identifier: Apache-2.0
"""What the user sees while a solver runs, and after: progress on stderr, results on stdout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mrfcore import Progress as Step

output = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def known(value: float | None) -> bool:
    """Whether a number was computed: neither None nor NaN."""
    return value is not None and not math.isnan(value)


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands separated, or a dash."""
    return f"{value:,.{digits}f}" if value is not None and known(value) else "-"


def significant(value: float | None, digits: int = 3) -> str:
    """A number with so many digits or, from 1000, all of its whole part; or a dash."""
    if value is None or not math.isfinite(value) or value == 0:
        return number(value)
    return number(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def percent(value: float | None, digits: int = 2) -> str:
    """A share of 1 in percent, or a dash."""
    return f"{100 * value:.{digits}f} %" if value is not None and known(value) else "-"


def relative_gap(energy: float, bound: float | None) -> float | None:
    """(energy - bound) / |energy|; None where there is no bound."""
    if bound is None or not known(bound) or energy == 0:
        return None
    return (energy - bound) / abs(energy)


class SolverBar:
    """A progress bar to hand to a solver as its callback; remembers the last step."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._title = title
        self._task = progress.add_task(title, total=None, state="")
        self.last: Step | None = None

    def __call__(self, step: Step) -> bool:
        """Show the state after an iteration; never asks to stop."""
        self.last = step
        title = f"{self._title}, channel {step.item + 1}" if step.item else self._title
        self._progress.update(
            self._task,
            description=title,
            completed=step.iteration,
            total=step.iterations,
            state=_state(step),
        )
        return False


def _state(step: Step) -> str:
    gap = relative_gap(step.energy, step.lower_bound)
    return f"energy {number(step.energy)}" + ("" if gap is None else f"  gap {percent(gap, 3)}")


@contextmanager
def bars(quiet: bool = False) -> Iterator[Progress]:
    """A group of progress bars on stderr that vanish when done; nothing where ``quiet``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
    )
    off = quiet or not errors.is_terminal  # a log file wants no bars
    with Progress(*columns, console=errors, transient=True, disable=off) as progress:
        yield progress


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> Table:
    """A table with ``left`` columns of words, which may wrap, then columns of numbers."""
    result = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for index, name in enumerate(header):
        words = index < left
        result.add_column(name, justify="left" if words else "right", no_wrap=not words)
    for row in rows:
        result.add_row(*row)
    return result


def facts(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values, one a line."""
    result = Table(
        title=title, title_justify="left", title_style="bold", show_header=False, box=None
    )
    result.add_column(style="dim", no_wrap=True)
    result.add_column(justify="right", no_wrap=True)
    for name, value in rows:
        result.add_row(name, value)
    return result


def note(text: str) -> None:
    """A line on stderr about something that was done otherwise than one might expect."""
    errors.print(f"note: {text}", soft_wrap=True, markup=False)


def written(*paths: Path) -> None:
    """Say which files there are now."""
    for path in paths:
        output.print(f"written: {path}", soft_wrap=True, markup=False)


def solver_facts(
    cells: int | None, directions: int, energy: float, bound: float | None, last: Step | None
) -> list[tuple[str, str]]:
    """What every solve reports: energy, bound, gap, ms per iteration, label updates per second.

    Args:
        cells: H * W * L, or None where that is not known.
        directions: of the connectivity; a label update is one label of one message.
        energy: of the result.
        bound: lower bound, or None.
        last: the last step seen by a :class:`SolverBar`; its seconds include energy and bound.
    """
    rows = [("energy", number(energy))]
    if bound is not None:
        rows += [
            ("lower bound", number(bound)),
            ("gap", percent(relative_gap(energy, bound), 3)),
        ]
    if last is not None and last.seconds > 0:
        each = last.seconds / last.iteration
        # Energies and bounds are computed for the progress bar, at a cost of their own.
        extra = "energy" if bound is None else "energy and bound"
        rows += [
            ("iterations", str(last.iteration)),
            (f"ms per iteration (with {extra})", significant(1e3 * each)),
        ]
        if cells is not None:
            updates = cells * directions / each / 1e6
            rows.append(("million label updates per second", significant(updates)))
    return rows
