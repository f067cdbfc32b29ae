# SPDX-License-Identifier: Apache-2.0
"""Messages kept in 16 bits beside messages in 32: energy, time and memory of whole solves.

    python bench/message_dtype.py [--quick]

`minimize` with its defaults on instances of the published tables, one thread, in turn. A positive
energy is a loss. Memory is what a solve allocates beyond its unaries, labels and costs included.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import mrfcore
from _machine import data_folder
from _measure import growth, interleave, timed
from _part import Case, Found, Part, Run
from _rows import Row, Target, Times
from mrfcore.reproduce.instances import INSTANCES

DTYPES = (None, "float16", "bfloat16")
MOST_LOSS = {"float16": 0.05, "bfloat16": 0.2}  # per cent of the energy
DIRECTIONS = 4


def cases(run: Run) -> Iterator[Case]:
    usual = ("tsukuba", "venus", "map", "penguin", "teddy", "cones", "000041_10")
    for name in ("tsukuba",) if run.quick else usual:
        yield {"instance": name}


def measure(case: Case, run: Run) -> Found:
    """A row for each of the two."""
    name = case["instance"]
    if not INSTANCES[name].is_there(data_folder()):
        return case, [Row(f"16-bit messages, {name}", problem="left out: its images are not here")]
    solve = solver(name)
    energies = {dtype: float(solve(dtype).energy) for dtype in DTYPES}
    sides = {str(d): timed(lambda d=d: solve(d), time.process_time) for d in DTYPES}
    samples = interleave(sides, run.rounds(5))
    peaks = {d: run.peak({"instance": name, "dtype": d}) for d in DTYPES}
    shape = INSTANCES[name].load(data_folder()).unary.shape
    rows = []
    for dtype in DTYPES[1:]:
        lost = 100 * (energies[dtype] / energies[None] - 1)
        row = Row(
            f"{dtype} messages, {name}",
            "x".join(map(str, shape)),
            Times(tuple(samples[dtype]["call"])),
            peer="float32 messages",
            peers=Times(tuple(samples["None"]["call"])),
            peak_bytes=peaks[dtype],
            peer_peak_bytes=peaks[None],
            note=f"energy {lost:+.3f} %",
        ).promised(Target("% lost", lost, MOST_LOSS[dtype], most=True))
        if peaks[dtype] is not None:
            volumes = peaks[dtype] / (4 * shape[0] * shape[1] * shape[2])
            row = row.promised(Target("volumes", volumes, DIRECTIONS / 2 + 2, most=True))
        rows.append(row)
    return {**case, "energies": {str(d): e for d, e in energies.items()}}, rows


def solver(name: str) -> Callable[[str | None], Any]:
    """`minimize` of an instance, given the type of its messages."""
    problem = INSTANCES[name].load(data_folder())
    given = problem.unary, problem.pairwise, problem.weight
    return lambda dtype: mrfcore.minimize(*given, message_dtype=dtype, threads=1)


def peak(job: Case) -> int:
    solve = solver(job["instance"])
    return growth(lambda: solve(job["dtype"]))


PART = Part("message_dtype", cases, measure, peak=peak)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
