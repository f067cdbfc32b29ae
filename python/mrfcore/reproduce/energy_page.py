# SPDX-License-Identifier: Apache-2.0
"""The ledger of Tables 3.1 to 3.3 as a page to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from .instances import INSTANCES, Instance
from .ledger import EnergyCell, Verdict

_MARK: dict[str, str] = {
    "exact": "",
    "exact in single precision": " ˢ",
    "within 0.2 %": " ≈",
    "misprint": " ✗",
    "differs": " **!**",
}

_INTRODUCTION = """\
# Tables 3.1 to 3.3, reproduced

Written by `mrfcore reproduce`; do not edit. The printed tables are those of Zhiwei Xu,
*Applications of Markov Random Field Optimization and 3D Neural Network Pruning in Computer Vision*,
PhD thesis, ANU 2022, section 3.6.1. Part (a) of a table counts the 4-connected energy of every
labelling, part (b) the energy with as many connections as the method has directions. The tables
below hold **our** energies, summed in double precision, with a mark where the print differs:

| mark | verdict | meaning |
|---|---|---|
| | exact | the print, digit for digit |
| ˢ | exact in single precision | a float32 sum over our labels gives the print |
| ≈ | within 0.2 % | one of the two sums is: rounding of messages decides near-ties |
| ✗ | misprint | the print has the number of another cell, or contradicts itself |
| **!** | differs | by more than 0.2 % |

Settings that the text leaves open and that give these numbers: TRWP uses rho = 1/2 for every number
of directions (the share of trees through an edge is 2 / directions: see the last tables), SGM
starts scanlines with a zero vector (`head="zero"`) and feeds its cost into the next iteration, mean
field divides the neighbours' sum by the number of directions (`normalise="directions"`), TRWS runs
in double precision with the general min-convolution, and every edge has the same weight. The
single-precision sum is one float32 accumulator over the pixels in raster order, at each pixel its
unary and then its edges (TRWS: all unaries, then all horizontal and all vertical edges in a second
one); above 2^24 it rounds at every step.
"""


def energies_to_markdown(cells: Iterable[EnergyCell]) -> str:
    """A page: settings, counts, a table per part, every cell that is not exact, the right rho."""
    cells = list(cells)
    parts = list(dict.fromkeys(cell.table for cell in cells))
    sections = [_INTRODUCTION, _settings(cells), _counts(cells, parts)]
    sections += [_part(part, [c for c in cells if c.table == part]) for part in parts]
    sections += [_deviations(cells), _lowest(cells)]
    sections.append(_right_rho([c for c in cells if c.right_rho is not None]))
    return "\n".join(section for section in sections if section)


def page_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table in Markdown: `left` columns of words, then numbers."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, rule, *rows))


def _settings(cells: Sequence[EnergyCell]) -> str:
    names = dict.fromkeys(cell.instance for cell in cells)
    rows = [_setting(INSTANCES[name]) for name in names]
    head = "Birchfield-Tomasi costs are integers, summed over the channels, not truncated.\n\n"
    return (
        "## Problems\n\n"
        + head
        + page_table(("instance", "data term", "labels", "V", "weight"), rows, 2)
    )


def _setting(instance: Instance) -> tuple[str, ...]:
    term = "Birchfield-Tomasi" if instance.is_stereo else "(I - l)^2, 0 in holes"
    return (
        instance.title,
        term,
        str(instance.labels),
        f"{instance.pairwise}",
        f"{instance.weight:g}",
    )


def _counts(cells: Sequence[EnergyCell], parts: Sequence[str]) -> str:
    verdicts = [v for v in get_args(Verdict) if v != "better"]  # energies are right or not
    rows = []
    for family in ("TRWS", "SGM", "ISGMR", "MF", "TRWP", ""):
        chosen = [c for c in cells if not family or c.method.startswith(family + "-")]
        count = Counter(cell.verdict for cell in chosen)
        numbers = [str(count[v]) if count[v] else "" for v in verdicts]
        rows.append((family or "all", str(len(chosen)), *numbers))
    scope = f"{len(cells)} cells of {', '.join(parts)}.\n\n"
    return "## Verdicts\n\n" + scope + page_table(("method", "cells", *verdicts), rows)


def _columns(cells: Sequence[EnergyCell]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((cell.instance, cell.iterations) for cell in cells))


def _grid(cells: Sequence[EnergyCell], text: dict[tuple[str, str, int], str]) -> str:
    columns = _columns(cells)
    methods = sorted({c.method for c in cells}, key=lambda m: (int(m.partition("-")[2]), _rank(m)))
    header = ["method", *(f"{INSTANCES[name].title}, {k}" for name, k in columns)]
    return page_table(
        header, [[m, *(text.get((m, *column), "") for column in columns)] for m in methods]
    )


def _rank(method: str) -> int:
    return ("MF", "SGM", "TRWS", "ISGMR", "TRWP").index(method.partition("-")[0])


def _key(cell: EnergyCell) -> tuple[str, str, int]:
    return cell.method, cell.instance, cell.iterations


def _part(part: str, cells: Sequence[EnergyCell]) -> str:
    text = {_key(c): f"{_number(c.ours)}{_MARK[c.verdict]}" for c in cells}
    counted = (
        "4-connected energy" if part.endswith("(a)") else "energy with the method's own connections"
    )
    unit = f", in units of {cells[0].unit}" if cells[0].unit != 1 else ""
    head = f"## Table {part}: {counted}{unit}\n\nColumns: instance, iterations.\n\n"
    return head + _grid(cells, text)


def _number(value: float) -> str:
    return f"{round(value)}"


def _deviations(cells: Sequence[EnergyCell]) -> str:
    rows = [
        (
            c.table,
            c.cell,
            c.verdict,
            c.note,
            _number(c.printed),
            _number(c.ours),
            _number(c.single_precision),
            f"{100 * c.difference:+.3f} %",
        )
        for c in cells
        if c.verdict != "exact" or c.note
    ]
    header = (
        "table",
        "cell",
        "verdict",
        "note",
        "printed",
        "ours",
        "ours in float32",
        "difference",
    )
    return "## Every cell with a mark or a note\n\n" + page_table(header, rows, 4) if rows else ""


def _lowest(cells: Sequence[EnergyCell]) -> str:
    """Columns in which the lowest energy is another method's than in the print."""
    rows = []
    columns = dict.fromkeys((c.table, c.instance, c.iterations) for c in cells)
    for table, instance, iterations in columns:
        chosen = [
            c for c in cells if (c.table, c.instance, c.iterations) == (table, instance, iterations)
        ]
        printed, ours = min(chosen, key=lambda c: c.printed), min(chosen, key=lambda c: c.ours)
        if printed.method != ours.method:
            where = f"{INSTANCES[instance].title}, {iterations}"
            rows.append(
                (table, where, *(f"{c.method}: {_number(c.ours)}" for c in (printed, ours)))
            )
    header = (
        "table",
        "column",
        "lowest in the print, and its true energy",
        "lowest by true energies",
    )
    head = "## Where the print's lowest energy is not the lowest\n\n"
    return head + page_table(header, rows, 4) if rows else ""


def _right_rho(cells: Sequence[EnergyCell]) -> str:
    if not cells:
        return ""
    head = (
        "## What the right rho gives\n\n"
        "TRWP with rho = 2 / directions (our default), and the change against the rho = 1/2 of the "
        "tables. The energy that is minimised is that of part (b).\n"
    )
    sections = []
    for part in dict.fromkeys(c.table for c in cells):
        chosen = [c for c in cells if c.table == part]
        text = {_key(c): _compare(c) for c in chosen}
        sections.append(f"### {part}\n\n{_grid(chosen, text)}")
    return "\n".join([head, *sections])


def _compare(cell: EnergyCell) -> str:
    if cell.right_rho is None:
        return ""
    return f"{_number(cell.right_rho)} ({100 * (cell.right_rho / cell.ours - 1):+.2f} %)"
