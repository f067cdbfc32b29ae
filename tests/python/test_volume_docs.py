# SPDX-License-Identifier: Apache-2.0
"""The example of docs/volume_data.md runs as printed and prints what is printed there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "volume_data.md"


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    found = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    exec(compile(found[1], "snippet", "exec"), {})
    assert capsys.readouterr().out == found[2]
