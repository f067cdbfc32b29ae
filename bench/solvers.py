# SPDX-License-Identifier: Apache-2.0
"""Every solver: time of an iteration against its bound and the plain loop of the published method.

    python bench/solvers.py [--quick]

Runs `mrfcore_measure` once per case: a synthetic problem through the public C++ interface, ours on
one thread, the plain loop (`bench/plain_loops.cpp`, one thread) and ours on all, A B A B. A sample
is (time of n + 1 iterations - least time of one) / n: setting up does not count. Bounds: bytes and
operations that an iteration needs (`bench/instance.cpp`), over the ceilings of one core.

Where the plain loop would take minutes it gets the first rows of the problem only, and its time is
scaled by rows (the remarks say so). TRW-S has another row, beside the times that Middlebury's MRF
library took on one core of a similar machine, which is not part of this run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from _ceilings import PROGRAM
from _part import Case, Found, Part, Run
from _rows import Row, Target, Times

LABELS = (16, 32, 64, 96, 128, 256)
MESSAGE_PASSING = ("trwp", "isgmr", "bp", "trws", "sgm")
POTENTIALS = ("truncated_linear", "sgm_penalty", "table")
# height, width, labels, potentials
SIZES = {
    "Tsukuba": (288, 384, 16, "truncated_linear"),
    "Teddy": (375, 450, 60, "truncated_linear"),
    "KITTI": (375, 1242, 128, "truncated_linear"),
    "full HD": (1080, 1920, 128, "truncated_linear"),
    "segmentation": (512, 512, 21, "table"),
}
# ms per iteration at 256 x 512, 4 neighbours, one core: by potential and labels
MIDDLEBURY_TRWS = {
    ("truncated_linear", 32): 67,
    ("truncated_linear", 96): 250,
    ("table", 32): 730,
    ("table", 96): 3680,
}


def cases(run: Run) -> Iterator[Case]:
    """The grid over labels at 256 x 512, other sizes, other instruction sets."""
    if run.quick:
        yield case("trwp", "truncated_linear", 96, plain_rows=24)
        yield case("trwp", "table", 96, plain_rows=24)
        for solver in (*MESSAGE_PASSING, "mean_field", "icm"):
            potential = "sgm_penalty" if solver == "sgm" else "truncated_linear"
            yield case(solver, potential, 32, plain_rows=16)
        yield from (case("trwp", "table", 32, isa=isa) for isa in run.ceilings.isas[:-1])
        return
    for labels in LABELS:
        for solver in MESSAGE_PASSING:
            for potential in POTENTIALS:
                plain = 32 if labels in (32, 96) else 0
                if (solver, potential, labels) == ("trwp", "truncated_linear", 96):
                    plain = 256  # what the target of 250x is about: measured whole
                yield case(solver, potential, labels, plain_rows=plain)
        yield case("mean_field", "sgm_penalty", labels, plain_rows=32 if labels < 100 else 0)
        yield case("icm", "truncated_linear", labels, plain_rows=32)
    for labels in LABELS:
        for messages in ("float16", "bfloat16"):
            yield case("trwp", "truncated_linear", labels, messages=messages)
    for isa in run.ceilings.isas:
        if isa != run.ceilings.isa:
            for labels in (32, 96, 256):
                yield case("trwp", "table", labels, isa=isa)
            yield case("trwp", "truncated_linear", 96, isa=isa)
    for name, (height, width, labels, potential) in SIZES.items():
        size = {"name": name, "height": height, "width": width}
        yield case("trwp", potential, labels, **size, plain_rows=16)
        yield case("trwp", potential, labels, **size, messages="float16")
        yield case("trws", potential, labels, **size, plain_rows=16)
        yield case("sgm", "sgm_penalty", labels, **size, connectivity=8, plain_rows=16)


def case(solver: str, potential: str, labels: int, **more: Any) -> Case:
    usual = {"height": 256, "width": 512, "connectivity": 4, "plain_rows": 0, "messages": "float32"}
    return {"solver": solver, "potential": potential, "labels": labels, **usual, **more}


def measure(case: Case, run: Run) -> Found:
    """Samples of one process."""
    options = (
        *("solver", "potential", "height", "width", "labels", "connectivity"),
        *("messages", "plain_rows"),
    )
    command = [str(PROGRAM), "solver"]
    for name in options:
        command += [f"--{name.replace('_', '-')}", str(case[name])]
    # Half an hour for everything leaves five rounds to the sizes that are quoted.
    quoted = case["labels"] in (32, 96) and 0 < case["plain_rows"] < 100
    command += ["--rounds", str(run.rounds(5 if quoted else 3))]
    command += ["--seconds", "0.05" if run.quick else "0.25"]
    environment = dict(os.environ)
    if "isa" in case:
        environment["MRFCORE_CPU_ISA"] = case["isa"]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True, text=True)
    found = {**case, **json.loads(done.stdout)}
    row = row_of(found, run)
    return found, [promised(found, row), *published(found, row)]


def per_iteration(calls: dict[str, dict[str, list[float]]], n: int, clock: str) -> Times | None:
    """Samples of (time of n + 1 iterations - least time of 1) / n, seconds: what slows down the
    calls of one iteration must not make the others look fast.

    None where there are none, and where iterations take less than setting up varies.
    """
    if not calls["more"][clock]:
        return None
    one = min(calls["one"][clock])
    times = Times(tuple((more - one) / n for more in calls["more"][clock]))
    return times if times.median > 0 else None


def plain_times(found: dict[str, Any], clock: str) -> Times | None:
    """Of the whole problem."""
    scale = found["height"] / found["plain_rows"] if found["plain_rows"] else 0
    samples = found["plain_s"][clock]
    return Times(tuple(scale * s for s in samples)) if samples else None


def row_of(found: dict[str, Any], run: Run) -> Row:
    """What the samples of a case say."""
    cells, n = found["cells"], found["n"]
    bound = run.ceilings.bound(
        moved_bytes=cells * found["bytes_per_cell"],
        pairs=cells * found["operations_per_cell"] / 2,  # a pair is an addition and a minimum
        multiply_adds=cells * found["multiply_adds_per_cell"],
        isa=found["isa"],
    )
    ours = per_iteration(found["one_thread_s"], n, "cpu")
    if ours is None:
        raise RuntimeError("iterations take less than setting up varies: more --seconds?")
    all_ours = per_iteration(found["all_threads_s"], n, "wall")
    peer, peers, all_peers = "", plain_times(found, "cpu"), plain_times(found, "wall")
    note = ""
    if peers is not None:
        peer = "plain C++ loop"
        if found["plain_rows"] < found["height"]:
            note = f"peer: {found['plain_rows']} of {found['height']} rows, scaled"
    size = f"{found['height']}x{found['width']}x{found['labels']}"
    what = f"{found['solver']}-{found['connectivity']} {found['potential'].replace('_', ' ')}"
    if found["messages"] != "float32":
        what += f", {found['messages']} messages"
    if found["isa"] != run.ceilings.isa:
        what += f" ({found['isa']})"
    return Row(
        what,
        f"{found['name']} {size}" if "name" in found else size,
        ours,
        bound.seconds,
        bound.by,
        peer,
        peers,
        all_ours,
        all_peers,
        found["peak_bytes"] if found["peak_bytes"] >= 0 else None,
        note=note,
        headline=is_headline(found),
    )


def published(found: dict[str, Any], row: Row) -> Iterator[Row]:
    """TRW-S beside what Middlebury's took."""
    milliseconds = MIDDLEBURY_TRWS.get((found["potential"], found["labels"]))
    if found["solver"] != "trws" or "name" in found or milliseconds is None:
        return
    beside = Row(
        row.what,
        row.size,
        row.ours,
        peer="Middlebury TRW-S",
        peers=Times((milliseconds / 1e3,)),
        note="peer: published, not run here",
        headline=True,
    )
    yield beside.promised(ratio=4) if found["potential"] == "truncated_linear" else beside


def is_headline(found: dict[str, Any]) -> bool:
    """Rows that a README has room for."""
    solver, potential, labels = found["solver"], found["potential"], found["labels"]
    if found["messages"] != "float32":
        return False
    if "name" in found or labels not in (32, 96):
        return solver == "trwp" and "name" in found
    return (solver == "trwp" and potential != "sgm_penalty") or (
        solver in ("trws", "isgmr", "bp") and potential == "truncated_linear"
    )


def promised(found: dict[str, Any], row: Row) -> Row:
    """With the targets of this case."""
    solver, potential, labels = found["solver"], found["potential"], found["labels"]
    least: dict[str, float] = {}
    if solver in ("trwp", "isgmr", "bp"):
        if potential != "table":
            least["share"] = 0.5
        elif found["isa"] != "baseline":
            least["share"] = 0.7
    if (solver, potential, labels) == ("trwp", "truncated_linear", 96):
        least["ratio"] = 250
    if solver == "trws" and potential == "truncated_linear":
        least["threads"] = 1.6
    more = []
    if solver == "trwp" and row.peak_bytes is not None and "name" in found:
        volumes = row.peak_bytes / (4 * found["cells"])
        more.append(Target("volumes", volumes, found["connectivity"] / 2 + 2, most=True))
    return row.promised(*more, **least)


PART = Part("solvers", cases, measure)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
