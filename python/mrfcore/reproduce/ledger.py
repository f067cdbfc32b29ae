# SPDX-License-Identifier: Apache-2.0
"""One entry of the ledger, how it is judged, and how the ledger is kept in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from mrfcore._files import atomic_file

Verdict = Literal["exact", "exact in single precision", "within 0.2 %", "misprint", "differs"]
TOLERANCE = 0.002


@dataclass(frozen=True)
class Cell:
    """One printed number beside ours.

    Attributes:
        table: part of the table, e.g. ``"3.1(a)"``.
        cell: ``"TRWP-8 / Tsukuba / 50 iterations"``.
        method, instance, iterations: the same, in parts.
        unit: both values are in units of this many (Table 3.3 prints thousands).
        printed: the number in the print.
        ours: our value, summed in double precision.
        single_precision: our labels, their energy summed as the print was (:mod:`.energies`).
        relative_difference: (ours - printed) / printed.
        verdict: see :func:`judge`.
        note: empty, or what a reader should know.
        right_rho: TRWP with 8 or 16 directions: the value with rho = 2 / directions, not 1/2.
        seconds: wall-clock time of the run, energy not included.
    """

    table: str
    cell: str
    method: str
    instance: str
    iterations: int
    unit: int
    printed: float
    ours: float
    single_precision: float
    relative_difference: float
    verdict: Verdict
    note: str = ""
    right_rho: float | None = None
    seconds: float | None = None


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


def write_json(cells: Iterable[Cell], path: Path) -> None:
    """Write the ledger as a JSON list, one object per cell, whole or not at all."""
    text = json.dumps([asdict(cell) for cell in cells], indent=1, ensure_ascii=False) + "\n"
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


def read_json(path: Path) -> list[Cell]:
    """Read what :func:`write_json` wrote.

    Raises:
        ValueError: the file is not such a ledger.
    """
    names = {field.name for field in fields(Cell)}
    try:
        items: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(items, list):
            raise TypeError(f"expected a list, got {type(items).__name__}")
        return [Cell(**{k: v for k, v in item.items() if k in names}) for item in items]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: not a ledger written by `mrfcore reproduce` ({error})"
        ) from error
