# SPDX-License-Identifier: Apache-2.0
"""Tables 4.2 and 4.3 of the ledger, on small inputs: rates as printed, errors at or below."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from mrfcore.cli import main
from mrfcore.reproduce import EnergyCell, judge_decimals, plan_jobs, read_json, to_markdown


@pytest.mark.parametrize(
    ("printed", "ours", "verdict"),
    [
        (98.2, 98.227, "exact"),
        (98.2, 98.26, "within 0.2 %"),
        (98.2, 98.5, "differs"),
        (0.0, 0.001, "exact"),
        (0.0, 0.1, "differs"),
    ],
)
def test_numbers_are_judged_by_their_decimals(printed, ours, verdict) -> None:
    assert judge_decimals(printed, ours, 1) == verdict


def test_they_come_out_without_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MRFCORE_DATA", raising=False)
    ledger, page = tmp_path / "cells.json", tmp_path / "page.md"
    command = ["reproduce", "4.2", "4.3", "--quick", "--json", str(ledger)]
    assert main([*command, "--markdown", str(page)]) == 0
    cells = read_json(ledger)
    assert {(c.table, c.cell) for c in cells} == {
        key for job in plan_jobs(["4.2", "4.3"], None) for key in job.keys
    }
    assert len(cells) == 16
    for cell in cells:
        if cell.table == "4.3":
            assert cell.verdict == "better", cell
            assert cell.ours > 0.1 * cell.printed  # rounding, not a mistake in measuring
        elif cell.cell == "Net2Net / recovery rate with ReLU":
            assert cell.ours == pytest.approx(50, abs=0.2)  # as many inputs below 0 as above
        else:
            assert cell.verdict == "exact", cell
    text = page.read_text()
    assert "| Ours / recovery rate with ReLU | 100 | 100 | exact |" in text
    assert text.count("\n## Table 4.") == 2
    assert text == to_markdown(cells)


def test_other_tables_still_need_their_images(capsys, monkeypatch) -> None:
    monkeypatch.delenv("MRFCORE_DATA", raising=False)
    assert main(["reproduce", "4.2", "3.1"]) == 2
    assert "--data: Table 3.1 needs the folder with the images" in capsys.readouterr().err


def test_both_kinds_of_cells_live_in_one_ledger(tmp_path: Path) -> None:
    from mrfcore.reproduce import Cell, write_json

    energy = EnergyCell(
        table="3.1(a)",
        cell="SGM-4 / Map / 1 iteration",
        printed=1,
        ours=1,
        verdict="exact",
        method="SGM-4",
        instance="map",
        iterations=1,
        unit=1,
        single_precision=1,
    )
    other = Cell(table="4.2", cell="Ours / init. rate", printed=0.0, ours=1.0, verdict="differs")
    write_json([energy, other], tmp_path / "both.json")
    assert read_json(tmp_path / "both.json") == [energy, other]
