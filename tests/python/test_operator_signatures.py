# SPDX-License-Identifier: Apache-2.0
"""Pages of docs/operators that print signatures print those of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import mrfcore
from mrfcore import cluster
from mrfcore.nn import functional

OPERATORS = Path(__file__).resolve().parents[2] / "docs" / "operators"
BLOCK = re.compile(r"\*\*Signatures\*\*\n\n((?:    .*\n)+)")
PAGES = {page.stem: page.read_text() for page in OPERATORS.glob("*.md")}
WITH_SIGNATURES = sorted(name for name, text in PAGES.items() if "**Signatures**" in text)


def printed(function: object) -> str:
    """A signature without types."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    bare = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    return str(inspect.Signature(bare)).replace("'", '"')


def test_which_pages_have_them() -> None:
    wanted = {"cluster_mean_shift", "mean_shift", "mean_shift_filter", "pairwise_margin_loss"}
    assert wanted | {"warp"} <= set(WITH_SIGNATURES)


@pytest.mark.parametrize("page", WITH_SIGNATURES)
def test_signatures_are_those_of_the_code(page: str) -> None:
    found = BLOCK.search(PAGES[page])
    assert found
    entries = re.sub(r"\n {5,}", " ", found[1]).split("\n")[:-1]
    assert entries
    for entry in entries:
        name, _, rest = entry.strip().partition("(")
        homes = [home for home in (functional, mrfcore, cluster) if hasattr(home, name)]
        assert homes, name
        assert f"({rest}" in {printed(getattr(home, name)) for home in homes}, name
