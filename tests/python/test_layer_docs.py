# SPDX-License-Identifier: Apache-2.0
"""The snippets of docs/layers and of the README's section on networks run as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import nn

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "layers").glob("*.md"))
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


def test_there_is_a_page_for_everything() -> None:
    titles = {page.read_text().splitlines()[0] for page in PAGES}
    assert {f"# mrfcore.nn.{name}" for name in nn.__all__} <= titles


def test_readme() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## In a network\n")[2]
    assert run(section.partition("\n## ")[0]) == 1
