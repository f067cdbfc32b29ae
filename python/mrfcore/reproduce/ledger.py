# SPDX-License-Identifier: Apache-2.0
"""One entry of the ledger, how it is judged, and how the ledger is kept in a file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from mrfcore._files import atomic_file

Verdict = Literal[
    "exact", "exact in single precision", "within 0.2 %", "better", "misprint", "differs"
]
TOLERANCE = 0.002


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One printed number beside ours.

    Attributes:
        table: the table, or a part of it, e.g. ``"4.2"`` or ``"3.1(a)"``.
        cell: what the number is, e.g. ``"TRWP-8 / Tsukuba / 50 iterations"``.
        printed: the number in the print.
        ours: our value.
        verdict: see :func:`judge` and :func:`judge_decimals`; "better": an error below the print's.
        note: empty, or what a reader should know.
        seconds: wall-clock time of the run, without what is measured on its result.
        decimals: with how many the number is printed, where a table has the same for all.
    """

    table: str
    cell: str
    printed: float
    ours: float
    verdict: Verdict
    note: str = ""
    seconds: float | None = None
    decimals: int | None = None

    @property
    def difference(self) -> float:
        """(ours - printed) / printed; infinite or NaN where the print has 0."""
        off = self.ours - self.printed
        return off / self.printed if self.printed else math.copysign(math.inf, off) if off else 0.0


@dataclass(frozen=True, kw_only=True)
class EnergyCell(Cell):
    """An energy of Tables 3.1 to 3.3.

    Attributes:
        method, instance, iterations: the name of the cell, in parts.
        unit: both values are in units of this many (Table 3.3 prints thousands).
        single_precision: our labels, their energy summed as the print was (:mod:`.energies`);
            `ours` is summed in double precision.
        right_rho: TRWP with 8 or 16 directions: the value with rho = 2 / directions, not 1/2.
    """

    method: str
    instance: str
    iterations: int
    unit: int
    single_precision: float
    right_rho: float | None = None


def judge(printed: float, ours: float, single_precision: float, known_misprint: bool) -> Verdict:
    """The verdict on a cell; values in the unit of the print, compared to its last digit."""
    if round(ours) == printed:
        return "exact"
    if round(single_precision) == printed:
        return "exact in single precision"
    if known_misprint:
        return "misprint"
    # The print may carry the error of its float32 sum: the nearer of the two sums counts.
    difference = min(abs(ours - printed), abs(single_precision - printed))
    return "within 0.2 %" if difference <= TOLERANCE * abs(printed) else "differs"


def judge_decimals(printed: float, ours: float, decimals: int) -> Verdict:
    """The verdict on a number that is printed with so many decimals."""
    if round(ours, decimals) == printed:
        return "exact"
    return "within 0.2 %" if abs(ours - printed) <= TOLERANCE * abs(printed) else "differs"


def write_json(cells: Iterable[Cell], path: Path) -> None:
    """Write the ledger as a JSON list, one object per cell, whole or not at all."""
    text = json.dumps([_item(cell) for cell in cells], indent=1, ensure_ascii=False) + "\n"
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


def read_json(path: Path) -> list[Cell]:
    """Read what :func:`write_json` wrote.

    Raises:
        ValueError: the file is not such a ledger.
    """
    try:
        items: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(items, list):
            raise TypeError(f"expected a list, got {type(items).__name__}")
        return [_cell(item) for item in items]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: not a ledger written by `mrfcore reproduce` ({error})"
        ) from error


def _item(cell: Cell) -> dict[str, Any]:
    off = cell.difference
    return asdict(cell) | {"relative_difference": off if math.isfinite(off) else None}


def _cell(item: dict[str, Any]) -> Cell:
    kind = EnergyCell if "method" in item else Cell
    names = {field.name for field in fields(kind)}
    return kind(**{k: v for k, v in item.items() if k in names})
