# SPDX-License-Identifier: Apache-2.0
"""bench/instruction_counts.py: what it reads of callgrind's files and when it fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import instruction_counts as counts  # noqa: E402


def test_a_regression_is_named_and_a_gain_is_not_a_failure() -> None:
    before = {"sweep": 1000, "warp": 1000, "gone": 5, "slic": 1000}
    now = {"sweep": 1051, "warp": 940, "slic": 1049, "new": 7}
    problems = counts.compare(now, before)
    assert [p.split(":")[0] for p in problems if p.startswith("FAILED")] == [
        "FAILED gone",
        "FAILED new",
        "FAILED sweep",
    ]
    assert any(p.startswith("warp: -6.0%") for p in problems)
    assert not any("slic" in p for p in problems)


def test_dumps_are_read_by_the_name_of_their_work(tmp_path: Path) -> None:
    file = tmp_path / "counts.out.1"
    file.write_text("desc: Trigger: Client Request: trwp/potts/32/4\nevents: Ir\ntotals: 42\n")
    assert counts.dump(file) == ("trwp/potts/32/4", 42)
    file.write_text("desc: Trigger: Program termination\nevents: Ir\ntotals: 42\n")
    assert counts.dump(file) is None


def test_the_script_fails_with_the_name_of_what_grew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counts, "FILE", tmp_path / "counts.json")
    monkeypatch.setattr(counts, "count", lambda *_: ("gcc 1, avx2", {"sweep": 110}))
    monkeypatch.setattr(sys, "argv", ["instruction_counts.py", "program"])
    assert counts.main() == counts.SKIPPED
    counts.FILE.write_text(json.dumps({"gcc 1, avx2": {"sweep": 100}}))
    assert counts.main() == 1
    assert "FAILED sweep: 110 instructions, 100 on file: +10.0%" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["instruction_counts.py", "--update", "program"])
    assert counts.main() == 0
    assert json.loads(counts.FILE.read_text()) == {"gcc 1, avx2": {"sweep": 110}}
