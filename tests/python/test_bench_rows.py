# SPDX-License-Identifier: Apache-2.0
"""What the benchmark concludes from its samples: spreads, ratios, bounds, verdicts, tables."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import _rows as rows  # noqa: E402
from _ceilings import Ceilings  # noqa: E402
from _measure import fields, interleave  # noqa: E402
from _part import Part, Run  # noqa: E402
from _rows import Row, Target, Times  # noqa: E402


def test_spread_is_half_the_distance_of_the_quartiles() -> None:
    """Of 1..5: quartiles 2 and 4, median 3."""
    assert Times((5, 1, 3, 2, 4)).median == 3
    assert Times((5, 1, 3, 2, 4)).spread == pytest.approx(1 / 3)
    assert Times((7,)).spread == 0
    with pytest.raises(ValueError, match="samples: expected one or more"):
        Times(())


def test_ratio_of_samples_in_turn_survives_a_machine_that_slows_down() -> None:
    """Theirs is twice as slow in each round; medians alone would say otherwise."""
    ours, theirs = Times((1, 1, 10, 10, 10)), Times((2, 2, 20, 20, 20))
    assert rows.ratio_of(theirs, ours) == 2
    slower_in_between = Times((2.0, 2.0, 2.0, 20.0, 20.0))
    assert rows.ratio_of(slower_in_between, Times((1.0, 1.0, 1.0, 10.0, 10.0))) == 2
    assert rows.ratio_of(Times((6, 8, 10)), Times((2,))) == 4
    assert rows.ratio_of(None, ours) is None


def ceilings() -> Ceilings:
    """10 GB/s; 1 G pairs with avx2, 2 G with avx512; 4 G products."""
    one = {"threads": 1, "update_bytes_per_s": 10e9, "multiply_adds_per_s": 4e9}
    table = [
        {**one, "isa": "avx2", "min_plus_pairs_per_s": 1e9},
        {**one, "isa": "avx512", "min_plus_pairs_per_s": 2e9},
    ]
    return Ceilings({"isa": "avx512", "ceilings": table})


def test_bound_is_the_longest_of_its_parts() -> None:
    bound = ceilings().bound(moved_bytes=10e9, pairs=1e9)
    assert (bound.seconds, bound.by) == (1.0, "memory")
    bound = ceilings().bound(moved_bytes=10e9, pairs=4e9)
    assert (bound.seconds, bound.by) == (2.0, "min-plus")
    assert ceilings().bound(pairs=4e9, isa="avx2").seconds == 4.0
    assert ceilings().bound(multiply_adds=2e9).by == "products"
    with pytest.raises(KeyError, match="avx512 with 3 threads"):
        ceilings().of("update_bytes_per_s", threads=3)


def a_row() -> Row:
    return Row(
        "sweep",
        "8x8",
        Times((0.1, 0.2, 0.3)),
        bound_s=0.05,
        bound_by="memory",
        peer="loop",
        peers=Times((1.0, 2.0, 3.0)),
        all_ours=Times((0.08, 0.1, 0.12)),
        peak_bytes=2_000_000,
        peer_peak_bytes=30_000_000,
    )


def test_targets_are_judged_by_the_rows_own_numbers() -> None:
    row = a_row().promised(Target("b/f", 1.6, 1.5, most=True), ratio=9, share=0.5, threads=1.9)
    reached = {t.name: t.reached for t in row.targets}
    assert reached == {"ratio": True, "share": False, "threads": True, "b/f": False}
    assert "share 0.25 >= 0.5 MISSED" in rows.remarks(row)
    assert "ratio 10 >= 9;" in rows.remarks(row)
    assert a_row().promised(memory=15).targets[0].reached
    assert Row("nothing measured").promised(ratio=1).targets == ()


def test_a_row_comes_back_from_its_json() -> None:
    row = a_row().promised(ratio=20)
    found = json.loads(json.dumps(row.to_json()))
    assert Row.from_json(found) == row
    assert found["ratio"] == pytest.approx(10)
    assert found["share_of_bound"] == pytest.approx(0.25)
    assert found["ours"]["median"] == 0.2
    assert not found["targets"][0]["reached"]


def test_tables_have_a_line_per_row_and_no_empty_columns() -> None:
    several = [a_row(), Row("broken | thing", problem="failed: no")]
    text = rows.text_table(several).splitlines()
    assert len(text) == 3
    assert "200 ms ±25%" in text[1]
    assert "10x" in text[1]
    assert text[2].endswith("failed: no")
    assert "ratio, all" not in text[0]
    assert "2x" in text[1]
    markdown = rows.markdown_table(several).splitlines()
    assert len(markdown) == 4
    assert r"broken \| thing" in markdown[3]
    assert len({line.replace(r"\|", "").count("|") for line in markdown}) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.345, "12.3 s"), (0.9999, "1000 ms"), (0.0123, "12.3 ms"), (1.5e-5, "15 µs")],
)
def test_seconds(value: float, text: str) -> None:
    assert rows.seconds(value) == text


def test_exit_status_says_what_is_missing() -> None:
    fine, out = Row("a"), Row("b", problem="left out: no module cv2")
    assert rows.exit_status([fine]) == 0
    assert rows.exit_status([fine, out]) == 3
    assert rows.exit_status([out, Row("c", problem="failed: differs"), fine]) == 1


def test_sides_take_turns_and_warm_up() -> None:
    order: list[str] = []

    def side(name: str) -> Any:
        return lambda: order.append(name) or {"call": float(len(order))}

    found = interleave({"ours": side("a"), "theirs": side("b")}, rounds=2)
    assert order == list("ababab")
    assert found == {"ours": {"call": [3.0, 5.0]}, "theirs": {"call": [4.0, 6.0]}}
    two = fields({1: found, 2: found}, "theirs")
    assert two["all_peers"] == Times((4.0, 6.0))
    assert set(fields({1: found}, "theirs")) == {"ours", "peers"}


def part(tmp_path: Path) -> tuple[Part, Run]:
    """Cases 1, 2, 3 of which the second fails."""

    def measure(case: dict[str, Any], _: Run) -> Any:
        if case["n"] == 2:
            raise RuntimeError("differs\nby much")
        return case, [Row(f"n={case['n']}").promised(Target("x", 1, 2))]

    made = Part("made_up", lambda _: [{"n": n} for n in (1, 2, 3)], measure)
    return made, Run(tmp_path / "made_up.py")


def test_a_case_that_fails_is_a_row_and_the_others_are_measured(tmp_path: Path) -> None:
    made, run = part(tmp_path)
    found = made.run(run, tmp_path)
    assert [r.what for r in found] == ["n=1", "made_up: 2", "n=3"]
    assert found[1].problem == "failed: RuntimeError: differs"
    kept = json.loads((tmp_path / "made_up.json").read_text())
    assert [Row.from_json(r) for r in kept["rows"]] == found
    assert kept["cases"][1] == {"n": 2, "error": "differs\nby much"}
    assert made.run(run, tmp_path, ["3"])[0].what == "n=3"


def test_without_its_peer_a_part_is_a_row_and_quick_runs_have_no_targets(tmp_path: Path) -> None:
    made, run = part(tmp_path)
    run.quick = True
    assert [r.targets for r in made.run(run, tmp_path)] == [(), (), ()]
    lonely = Part("lonely", made.cases, made.measure, needs=("no_such_module",))
    assert lonely.run(run, tmp_path)[0].problem == "left out: no module no_such_module"
    assert lonely.main("Doc.", str(tmp_path / "lonely.py"), ["--folder", str(tmp_path)]) == 3


def test_a_part_that_ends_without_results_is_a_row(tmp_path: Path) -> None:
    whole = importlib.import_module("all")
    stale = {"rows": [Row("of another day").to_json()]}
    (tmp_path / "no_such_part.json").write_text(json.dumps(stale))
    os.utime(tmp_path / "no_such_part.json", (0, 0))
    (row,) = whole.rows_of("no_such_part", tmp_path, whole.parse([]))
    assert (row.what, row.problem) == ("no_such_part", "failed: exit status 2")


def test_drift_of_ceilings_is_the_largest_change() -> None:
    later = json.loads(json.dumps(ceilings().found))
    assert ceilings().drift(Ceilings(later)) == 0
    later["ceilings"][1]["min_plus_pairs_per_s"] *= 0.8
    later["ceilings"][0]["update_bytes_per_s"] *= 1.1
    assert ceilings().drift(Ceilings(later)) == pytest.approx(0.2)
    two = {**ceilings().found["ceilings"][0], "threads": 2}
    busy = {**two, "update_bytes_per_s": 1e9}
    before, after = ({"isa": "avx2", "ceilings": [c]} for c in (two, busy))
    one = ceilings().found["ceilings"]
    before["ceilings"] += one
    after["ceilings"] += one
    assert Ceilings(before).drift(Ceilings(after)) == 0  # no bound is made of two threads' ceilings


def test_every_part_is_a_script_that_says_what_it_does() -> None:
    whole = importlib.import_module("all")
    for name in whole.PARTS:
        text = (ROOT / f"bench/{name}.py").read_text()
        assert f'PART = Part("{name}"' in text
        assert f"python bench/{name}.py" in text
