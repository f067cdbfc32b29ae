# SPDX-License-Identifier: Apache-2.0
"""The words of the command line: help, options in messages, tables within 80 columns, start-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.main import get_command

from cli_cases import one_line_about
from mrfcore import demo, metrics
from mrfcore.cli import app, console, main
from mrfcore.cli import demo as demo_command
from mrfcore.cli import reproduce as reproduce_command
from mrfcore.cli import stereo as stereo_command
from mrfcore.cli.wording import in_options, option_names
from mrfcore.reproduce import EnergyCell

COMMANDS = ("stereo", "denoise", "info", "demo", "reproduce")

# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_names_no_python_types(command: tuple[str, ...], capsys) -> None:
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage: mrfcore" in text
    for word in ("<bool>", "<path>", "list[", "<str>", "<int", "<float", "BOOLEAN", "INTEGER"):
        assert word not in text
    if command in (("stereo",), ("denoise",), ("reproduce",)):
        assert "FILE" in text


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["stereo", "--wrong"], "mrfcore stereo --help"),
        (["stereo", "--iterations"], "mrfcore stereo --help"),
        (["denoise", "in.png", "-o", "out.png", "--sigma", "much"], "mrfcore denoise --help"),
        (["demo", "--iterations", "0"], "mrfcore demo --help"),
        (["sterio"], "(see mrfcore --help)"),
    ],
)
def test_wrong_usage_names_the_help_of_the_command(arguments, place, capsys) -> None:
    assert main(arguments) == 2
    one_line_about(capsys, place)


# --- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("solver: expected one of a, b", "--solver: expected one of a, b"),
        ("num_disparities, min_disparity: no", "--num-disparities, --min-disparity: no"),
        ("scale is 0, expected more", "--gt-scale is 0, expected more"),
        (
            "x.pgm holds 8 bits: give scale, its units",
            "x.pgm holds 8 bits: give --gt-scale, its units",
        ),
        ("values on the scale 0..255", "values on the scale 0..255"),
        ("the solver: did not", "the solver: did not"),
        ("cost volume: needs 3 bytes", "cost volume: needs 3 bytes"),
        ("scale-free: no", "scale-free: no"),
    ],
)
def test_arguments_become_options(message: str, expected: str) -> None:
    names = option_names(vars(get_command(app))["commands"]["stereo"])
    assert in_options(message, names) == expected


def test_alternatives_become_options() -> None:
    names = option_names(vars(get_command(app))["commands"]["denoise"])
    said = in_options("weight: give either sigma or weight, got both", names)
    assert said == "--weight: give either --sigma or --weight, got both"
    assert in_options("sigma: unclear; give sigma", names) == "--sigma: unclear; give --sigma"


def test_messages_without_options_stay() -> None:
    assert in_options("solver: no", {}) == "solver: no"


# --- tables -------------------------------------------------------------------------------------


def width_of(table: object) -> int:
    return Console(width=500).measure(table).maximum  # type: ignore[arg-type]


def text_of(table: object) -> str:
    narrow = Console(width=80)
    with narrow.capture() as capture:
        narrow.print(table)
    return capture.get()


def worst_errors() -> metrics.StereoMetrics:
    names = metrics.StereoMetrics.__dataclass_fields__
    worst = {name: 100.0 if name.startswith(("bad", "d1")) else 9876.54 for name in names}
    return metrics.StereoMetrics(**worst)  # type: ignore[arg-type]


def test_the_table_of_errors_fits() -> None:
    found = {region: worst_errors() for region in ("all", "non-occ.")}
    table = stereo_command._error_table(found)
    assert width_of(table) <= 80
    assert "\u2026" not in text_of(table)
    assert text_of(table).count("100.00") == 10


def test_the_table_of_the_demo_fits() -> None:
    errors = dict.fromkeys(("all", "nonocc"), worst_errors())
    entry = demo.Entry(
        pair="motorcycle",
        solver=demo.PIPELINE,
        energy=98_765_432.1,
        lower_bound=87_654_321.0,
        above_bound=1.5,
        iterations=20,
        milliseconds=9876.5,
        seconds=123.4,
        errors=errors,
        disparity=None,  # type: ignore[arg-type]
        trace=None,
    )
    table = demo_command._table("motorcycle", [entry])
    assert width_of(table) <= 80
    assert "98,765,432" in text_of(table)


def test_long_names_of_cells_wrap(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce_command, "output", Console(width=80))
    cell = EnergyCell(
        table="3.2(b)",
        cell="ISGMR-16 / Delivery area / 50 iterations",
        method="ISGMR-16",
        instance="delivery_area_1l",
        iterations=50,
        unit=1,
        printed=1_000_000,
        ours=124_456_000.0,
        single_precision=124_456_000.0,
        verdict="differs",
    )
    reproduce_command._show([cell])
    text = capsys.readouterr().out
    assert "\u2026" not in text
    assert "+12345.600%" in text
    assert "124456000" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.01234, "0.0123"), (0.14, "0.140"), (9.876, "9.88"), (99.96, "100.0"), (1234.5, "1,234"),
     (0.0, "0"), (None, "-"), (float("nan"), "-")],
)  # fmt: skip
def test_significant_digits(value: float | None, shown: str) -> None:
    assert console.significant(value) == shown


# --- start-up -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["info"], ["--version"], ["stereo", "--help"]])
def test_the_command_starts_without_heavy_modules(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from mrfcore.cli import main; assert main(sys.argv[1:]) == 0; "
        "print([m for m in ('matplotlib', 'pooch', 'skimage', 'torch') if m in sys.modules])"
    )
    call = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"
