# SPDX-License-Identifier: Apache-2.0
"""The ledger of published tables: the numbers, the verdicts, the file, and the quick subset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mrfcore
from mrfcore.cli import main
from mrfcore.reproduce import EnergyCell, judge, plan_jobs, read_json, tables, to_markdown
from mrfcore.reproduce.energies import (
    benchmark_single_precision_energy,
    single_precision_energy,
)
from mrfcore.reproduce.ledger import write_json
from mrfcore.reproduce.printed import MISPRINTS, PARTS

# --- the single-precision sum -------------------------------------------------------------------


def plain_sum(labels, unary, table, weight, connectivity):
    """One float32 accumulator, one term after the other, edges as the print walks them."""
    towards = ((0, 1), (1, 0), (1, 1), (-1, 1), (2, 1), (1, 2), (-1, 2), (-2, 1))
    height, width = labels.shape
    total = np.float32(0)
    for y in range(height):
        for x in range(width):
            total = np.float32(total + unary[y, x, labels[y, x]])
            for dy, dx in towards[: connectivity // 2]:
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    pair = weight * table[labels[y, x], labels[y + dy, x + dx]]
                    total = np.float32(total + np.float32(pair))
    return float(total)


@pytest.mark.parametrize("connectivity", [4, 8, 16])
@pytest.mark.parametrize("shape", [(9, 13), (1, 8), (7, 1), (2, 2)])
def test_single_precision_energy_is_a_sequential_sum(shape, connectivity) -> None:
    random = np.random.default_rng(connectivity)
    unary = random.uniform(0, 1e5, (*shape, 6)).astype(np.float32)  # large: rounds at every step
    labels = random.integers(0, 6, shape, dtype=np.int32)
    table = mrfcore.TruncatedLinear(3).table(6)
    got = single_precision_energy(labels, unary, table, 12345.6, connectivity)
    assert got == plain_sum(labels, unary, table, 12345.6, connectivity)


@pytest.mark.parametrize("shape", [(9, 13), (1, 8), (7, 1), (1, 1)])
def test_benchmark_sum_has_two_accumulators(shape) -> None:
    random = np.random.default_rng(2)
    unary = random.uniform(0, 1e5, (*shape, 6)).astype(np.float32)
    labels = random.integers(0, 6, shape, dtype=np.int32)
    table = mrfcore.TruncatedLinear(3).table(6)
    data, smoothness = np.float32(0), np.float32(0)
    for y, x in np.ndindex(*shape):
        data += unary[y, x, labels[y, x]]
    for dy, dx in ((0, 1), (1, 0)):
        for y, x in np.ndindex(shape[0] - dy, shape[1] - dx):
            smoothness += np.float32(12345.6 * table[labels[y, x], labels[y + dy, x + dx]])
    got = benchmark_single_precision_energy(labels, unary, table, 12345.6)
    assert got == float(data + smoothness)


@pytest.mark.parametrize("connectivity", [4, 8, 16])
def test_single_precision_energy_is_the_energy_while_it_is_small(connectivity) -> None:
    random = np.random.default_rng(1)
    unary = random.integers(0, 100, (12, 11, 5)).astype(np.float32)
    labels = random.integers(0, 5, (12, 11), dtype=np.int32)
    potential = mrfcore.TruncatedQuadratic(4)
    single = single_precision_energy(labels, unary, potential.table(5), 3, connectivity)
    assert single == mrfcore.energy(labels, unary, potential, 3, connectivity=connectivity)


# --- the printed tables -------------------------------------------------------------------------


def test_every_printed_row_is_complete() -> None:
    methods = {f"{m}-{d}" for m in ("MF", "SGM", "ISGMR", "TRWP") for d in (4, 8, 16)}
    counts = []
    for first, second in PARTS.values():
        assert set(first.values) == methods | {"TRWS-4"}
        assert set(second.values) == {m for m in methods if not m.endswith("-4")}
        assert (
            len({frozenset(row) for part in (first, second) for row in part.values.values()}) == 1
        )
        counts.append(sum(len(row) for part in (first, second) for row in part.values.values()))
    assert counts == [210, 210, 42]


def test_misprints_hold_the_number_of_another_cell() -> None:
    parts = {part.name: part for both in PARTS.values() for part in both}

    def printed(part: str, method: str, instance: str, iterations: int) -> int:
        return parts[part].values[method][instance, iterations]

    for cell, reason in MISPRINTS.items():
        printed(*cell)  # it exists
        if isinstance(reason, tuple) and reason not in MISPRINTS:
            assert cell != reason
            assert printed(*cell) == printed(*reason)


@pytest.mark.parametrize("table", list(PARTS))
def test_jobs_cover_every_cell_once(table: str, tmp_path: Path) -> None:
    keys = [key for job in plan_jobs([table], tmp_path) for key in job.keys]
    assert (
        len(keys)
        == len(set(keys))
        == sum(len(row) for part in PARTS[table] for row in part.values.values())
    )
    quick = [key for job in plan_jobs([table], tmp_path, quick=True) for key in job.keys]
    assert set(quick) < set(keys)
    assert quick


def test_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'3\.9'.*expected one of 3\.1, 3\.2, 3\.3"):
        plan_jobs(["3.9"], tmp_path)


# --- verdicts and files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "single", "misprint", "verdict"),
    [
        (1000.0, 999.0, False, "exact"),
        (1000.4, 990.0, True, "exact"),
        (1005.0, 1000.2, False, "exact in single precision"),
        (1001.9, 1001.9, False, "within 0.2 %"),
        (1100.0, 998.1, False, "within 0.2 %"),
        (1002.1, 1003.0, False, "differs"),
        (1002.1, 1003.0, True, "misprint"),
    ],
)
def test_verdicts(ours: float, single: float, misprint: bool, verdict: str) -> None:
    assert judge(1000, ours, single, misprint) == verdict


def some_cell(**changes: object) -> EnergyCell:
    values: dict[str, object] = {
        "table": "3.1(b)",
        "cell": "TRWP-8 / Map / 50 iterations",
        "method": "TRWP-8",
        "instance": "map",
        "iterations": 50,
        "unit": 1,
        "printed": 205110,
        "ours": 205123.0,
        "single_precision": 205123.0,
        "verdict": "within 0.2 %",
        "right_rho": 200000.0,
    }
    return EnergyCell(**{**values, **changes})  # type: ignore[arg-type]


def test_ledger_survives_its_file(tmp_path: Path) -> None:
    cells = [some_cell(), some_cell(cell="other", note="why", verdict="misprint", right_rho=None)]
    file = tmp_path / "ledger.json"
    write_json(cells, file)
    assert read_json(file) == cells
    assert {"table", "cell", "ours", "printed", "verdict"} <= set(json.loads(file.read_text())[0])


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"table": "3.1(a)"}]', '{"a": 1}'])
def test_other_files_are_no_ledgers(text: str, tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"ledger\.json: not a ledger"):
        read_json(file)


def test_page_shows_cells_marks_and_the_right_rho() -> None:
    page = to_markdown([some_cell(), some_cell(method="SGM-8", verdict="differs", right_rho=None)])
    assert "| SGM-8 | 205123 **!** |" in page
    assert "| TRWP-8 | 205123 ≈ |" in page
    assert "200000 (-2.50 %)" in page
    assert page.count("+0.006 %") == 2


# --- the real thing -----------------------------------------------------------------------------


@pytest.mark.parametrize("table", list(PARTS))
def test_quick_subset_reproduces_the_print(table: str, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    command = ["reproduce", table, "--data", str(data), "--json", str(file), "--quick"]
    assert main(command) == 0
    cells = read_json(file)
    expected = {key for job in plan_jobs([table], data, quick=True) for key in job.keys}
    assert {(cell.table, cell.cell) for cell in cells} == expected
    for cell in cells:
        if cell.method.startswith(("TRWS", "SGM", "ISGMR")):
            assert cell.verdict in ("exact", "exact in single precision"), cell
        else:
            assert cell.verdict != "differs", cell


def reproduce(data: Path, *more: object) -> list[str]:
    return ["reproduce", "3.3", "--quick", "--data", str(data), *map(str, more)]


@pytest.fixture
def known(data: Path) -> list[EnergyCell]:
    """The cells of the quick subset of Table 3.3, with numbers that no run gives."""
    keys = [key for job in plan_jobs(["3.3"], data, quick=True) for key in job.keys]
    return [some_cell(table=table, cell=cell, right_rho=None) for table, cell in keys]


def test_a_ledger_is_gone_on_with(
    data: Path,
    known: list[EnergyCell],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "ledger.json"
    write_json(known, file)
    monkeypatch.setattr(tables, "execute", None)  # calling it would fail
    assert main(reproduce(data, "--json", file)) == 0
    assert read_json(file) == known
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{len(known)} of {len(known)} cells kept from {file}; --fresh" in line


def test_fresh_computes_again_and_keeps_other_tables(
    data: Path, known: list[EnergyCell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ledger.json"
    other = some_cell()  # of Table 3.1
    write_json([other, *known], file)
    assert main(reproduce(data, "--json", file, "--fresh")) == 0
    first, *rest = read_json(file)
    assert first == other
    assert [(c.table, c.cell) for c in rest] == [(c.table, c.cell) for c in known]
    assert all(cell.printed != known[0].printed for cell in rest)
    assert capsys.readouterr().err == ""


def test_a_file_that_is_no_ledger_is_left_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes.json"
    file.write_text("{}")
    for more in ((), ("--fresh",)):
        assert main(reproduce(data, "--json", file, *more)) == 2
        assert "notes.json: not a ledger" in capsys.readouterr().err
    assert file.read_text() == "{}"


@pytest.mark.parametrize("option", ["--json", "--markdown"])
def test_outputs_are_checked_before_the_work(
    option: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tables, "execute", None)  # calling it would fail
    assert main(reproduce(data, option, tmp_path / "missing" / "file")) == 2
    assert "no such folder" in capsys.readouterr().err


def test_without_any_image_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ledger.json"
    assert main(reproduce(tmp_path, "--json", file)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mrfcore: --data: no run of 3.3 has its images in {tmp_path}; ")
    assert "penguin-input.png and 1 more" in line
    assert not file.exists()


def test_what_is_known_needs_no_images(
    known: list[EnergyCell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "ledger.json", tmp_path / "page.md"
    write_json(known, file)
    assert main(reproduce(tmp_path, "--json", file, "--markdown", page)) == 0
    assert page.read_text() == to_markdown(known)
    assert "skipped" not in capsys.readouterr().err


def test_missing_images_are_told_and_skipped(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two runs, the images of one: it is done, the other is told."""
    (tmp_path / "middlebury_mrf").symlink_to(data / "middlebury_mrf")
    file = tmp_path / "ledger.json"
    command = ["reproduce", "3.1", "3.3", "--quick", "--data", str(tmp_path), "--json", str(file)]
    assert main(command) == 0
    assert {cell.table for cell in read_json(file)} == {"3.3(a)"}
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("skipped, no such file: ") for line in lines)
    assert any("map" in line for line in lines)


def test_other_images_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "middlebury_mrf" / "denoise"
    folder.mkdir(parents=True)
    for name in ("penguin-input", "penguin-mask"):
        mrfcore.io.write_image(folder / f"{name}.png", np.zeros((4, 4), np.uint8))
    assert main(["reproduce", "3.3", "--data", str(tmp_path), "--quick"]) == 2
    assert "these are not the images of the table" in capsys.readouterr().err
