# SPDX-License-Identifier: Apache-2.0
"""``mrfcore models``: its table, its sizes, what it refuses; and the same table in the docs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli_cases import one_line_about
from mrfcore.cli import main
from mrfcore.cli import models as command

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each model."""
    monkeypatch.setattr(command, "output", Console(width=160))


@pytest.fixture
def models() -> Any:
    pytest.importorskip("torch", reason="torch is not installed")
    from mrfcore import models as found

    return found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.mark.usefixtures("wide")
def test_the_table(models: Any, capsys: Any) -> None:
    assert main(["models", "resnet*"]) == 0
    found = capsys.readouterr()
    rows = {row[0]: row[1:] for row in map(cells, found.out.splitlines()) if row}
    assert rows["resnet50"] == ["classifier", "3x224x224", "25.56 M", "4.09", "8.18"]
    assert [name for name in rows if name.startswith("resnet")] == models.list_models("resnet*")
    assert "2 FLOPs" in found.err


@pytest.mark.usefixtures("wide")
def test_size(models: Any, capsys: Any) -> None:
    assert main(["models", "superpixel-fcn", "--size", "64x96"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "superpixel-fcn" in line)
    flops = models.measure_model("superpixel-fcn", (3, 64, 96))[1]
    assert cells(row)[2] == "3x64x96"
    assert cells(row)[-1] == f"{flops / 1e9:.2f}"


def test_it_fits_a_terminal(models: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "output", Console(width=80))
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "\u2026" not in text
    for name in models.list_models():
        assert f"{name} " in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mobilenot"], ["no model's name matches 'mobilenot'"]),
        (["resnet18", "--size", "big"], ["--size: expected HxW", "'big'"]),
        (["resnet18", "--size", "0x5"], ["--size: expected HxW", "'0x5'"]),
        (["resnet18", "--size", "4x5x6"], ["--size: resnet18 has inputs of 3x224x224"]),
    ],
)
@pytest.mark.usefixtures("models")
def test_refused(arguments: list[str], words: list[str], capsys: Any) -> None:
    assert main(["models", *arguments]) == 2
    one_line_about(capsys, *words)


def test_without_torch(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("mrfcore.models")]:
        monkeypatch.delitem(sys.modules, name)
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a)
    )
    assert main(["models"]) == 2
    one_line_about(capsys, "mrfcore.models needs PyTorch", "pip install torch")


def test_the_table_of_the_docs(models: Any) -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = {}
    for line in lines:
        name, _, shape, parameters, macs, flops = [c.strip() for c in line.strip("|").split("|")]
        rows[name.strip("`")] = (shape, parameters, macs, flops)
    assert list(rows) == models.list_models()
    for name, row in rows.items():
        shapes = models.model_entry(name).input_shapes
        count, flops = models.measure_model(name)
        expected = ", ".join("x".join(map(str, shape)) for shape in shapes)
        assert row == (expected, f"{count:,}", f"{flops / 2e9:.2f}", f"{flops / 1e9:.2f}"), name


def test_the_snippets_of_the_docs(
    models: Any,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    import re

    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert snippets
    scope: dict[str, Any] = {}
    for snippet in snippets:
        exec(compile(snippet, "snippet", "exec"), scope)
