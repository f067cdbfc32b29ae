# SPDX-License-Identifier: Apache-2.0
"""The ledger as a page to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .energy_page import energies_to_markdown, page_table
from .ledger import Cell, EnergyCell
from .resource_tables import INTRODUCTION as RESOURCES
from .transparent_tables import INTRODUCTION as TRANSPARENT

_INTRODUCTIONS = {"4.": TRANSPARENT, "5.": RESOURCES}  # by the beginning of the tables' names


def to_markdown(cells: Iterable[Cell]) -> str:
    """A page: energies first, then the other tables, each chapter after its introduction."""
    cells = list(cells)
    energies = [cell for cell in cells if isinstance(cell, EnergyCell)]
    pages = [energies_to_markdown(energies)] if energies else []
    rest = [cell for cell in cells if not isinstance(cell, EnergyCell)]
    for beginning, introduction in _INTRODUCTIONS.items():
        chapter = [cell for cell in rest if cell.table.startswith(beginning)]
        if chapter:
            names = dict.fromkeys(cell.table for cell in chapter)
            parts = [_numbers(name, [c for c in chapter if c.table == name]) for name in names]
            pages.append("\n".join([introduction, *parts]))
    return "\n".join(pages)


def _numbers(name: str, cells: Sequence[Cell]) -> str:
    rows = [(c.cell, _number(c.printed, c.decimals), _ours(c), c.verdict, c.note) for c in cells]
    header = ("cell", "printed", "ours", "verdict", "note")
    return f"## Table {name}\n\n" + page_table(header, rows)


def _ours(cell: Cell) -> str:
    """Two digits more than the print has."""
    return _number(cell.ours, None if cell.decimals is None else cell.decimals + 2)


def _number(value: float, decimals: int | None) -> str:
    return f"{value:.4g}" if decimals is None else f"{value:.{decimals}f}"
