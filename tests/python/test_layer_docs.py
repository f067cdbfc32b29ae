# SPDX-License-Identifier: Apache-2.0
"""The snippets of docs/layers, docs/operators and the README on networks run as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import nn
from mrfcore.nn import functional

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "layers").glob("*.md"))
OPERATORS = ROOT / "docs" / "operators"
OPERATOR_PAGES = sorted(page for page in OPERATORS.glob("*.md") if page.name != "README.md")
SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)


def run(text: str) -> int:
    snippets = SNIPPET.findall(text)
    for snippet in snippets:
        exec(compile(snippet, "snippet", "exec"), {})
    return len(snippets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages(page: Path) -> None:
    text = page.read_text()
    assert run(text) == (page.name != "README.md")
    if page.name != "README.md":
        for part in ("**Shapes**", "**Complexity**", "**Memory**"):
            assert part in text


@pytest.mark.parametrize("page", OPERATOR_PAGES, ids=lambda page: page.stem)
def test_operator_pages(page: Path) -> None:
    text = page.read_text()
    assert run(text) >= 1
    for part in ("**Shapes**", "**Complexity**", "**Memory**"):
        assert part in text


def named_in(pages: list[Path]) -> set[str]:
    """What of mrfcore.nn the pages are about, or tell of in passing."""
    text = "".join(page.read_text() for page in pages)
    names = set(re.findall(r"^# mrfcore\.nn\.(\w+)|`mrfcore\.nn\.(\w+)", text, re.MULTILINE))
    return {name for pair in names for name in pair if name}


def test_there_is_a_page_for_everything() -> None:
    assert set(nn.__all__) <= named_in([*PAGES, *OPERATOR_PAGES])


def test_the_index_of_operators_is_whole() -> None:
    index = (OPERATORS / "README.md").read_text()
    table = "\n".join(line for line in index.splitlines() if line.startswith("| ["))
    for name in functional.__all__:
        row = next((line for line in table.splitlines() if f"`{name}`" in line), None)
        assert row, f"docs/operators/README.md: no row for {name}"
        page = re.search(r"\]\((\w+\.md)\)", row)
        assert page is not None
        assert name in (OPERATORS / page[1]).read_text(), f"docs/operators/{page[1]}: no {name}"
    for page in OPERATOR_PAGES:
        assert f"]({page.name})" in index
    modules = {name for name in nn.__all__ if f"`{name}`" in table}
    layers = named_in([page for page in PAGES if page.name != "README.md"])
    assert modules == set(nn.__all__) - layers - {"functional"}  # the operators' own namespace


def test_readme() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## In a network\n")[2]
    assert run(section.partition("\n## ")[0]) == 2
