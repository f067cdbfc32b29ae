# SPDX-License-Identifier: Apache-2.0
"""minimize_tiled beside whole solves: what the seams cost in energy, time and memory.

    python bench/tiles.py [--quick]

Instances of the published tables, which fit into memory, cut into tiles of 128 x 128, by overlap,
with the seams as they are and mended. TRW-S, 50 iterations, one thread: a solver that ends near its
limit, so that energies differ by the seams and not by its progress. The peer is the whole solve.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import mrfcore
from _machine import data_folder
from _measure import growth
from _part import Case, Found, Part, Run
from _rows import Row, Target, Times
from mrfcore.reproduce.instances import INSTANCES

OVERLAPS = (0, 8, 16, 32, 64)
USUAL = 32  # minimize_tiled's own
TILE = (128, 128)
OPTIONS: dict[str, Any] = {"solver": "trws", "iterations": 50, "threads": 1}
MOST_LOSS = 0.2  # per cent of the energy, with the usual overlap


def cases(run: Run) -> Iterator[Case]:
    for name in ("tsukuba",) if run.quick else ("teddy", "delivery_area_1l", "000002_11"):
        yield {"instance": name}


def measure(case: Case, run: Run) -> Found:
    """A row for each overlap and for mending."""
    name = case["instance"]
    if not INSTANCES[name].is_there(data_folder()):
        return case, [Row(f"tiles of {name}", problem="left out: its images are not here")]
    problem = INSTANCES[name].load(data_folder())
    given = problem.unary, problem.pairwise, problem.weight
    whole, seconds = timed(lambda: mrfcore.minimize(*given, **OPTIONS))
    found: list[dict[str, Any]] = []
    for overlap in (0, USUAL) if run.quick else OVERLAPS:
        for mend in (False, True) if overlap else (False,):
            result, took = timed(
                lambda o=overlap, m=mend: mrfcore.minimize_tiled(
                    *given, tile=TILE, overlap=o, mend=m, **OPTIONS
                )
            )
            lost = 100 * (result.energy / whole.energy - 1)
            found.append({"overlap": overlap, "mend": mend, "lost": lost, "seconds": took})
    size = "x".join(map(str, problem.unary.shape))
    rows = [row_of(name, size, one, seconds, run) for one in found]
    return {**case, "energy": whole.energy, "seconds": seconds, "tiled": found}, rows


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def row_of(name: str, size: str, found: dict[str, Any], seconds: float, run: Run) -> Row:
    usual = found["overlap"] == USUAL and found["mend"]
    peaks = {}
    if usual:
        peaks["peak_bytes"] = run.peak({"instance": name, "tiled": True})
        peaks["peer_peak_bytes"] = run.peak({"instance": name, "tiled": False})
    row = Row(
        f"tiles of {name}, overlap {found['overlap']}{', mended' if found['mend'] else ''}",
        size,
        Times((found["seconds"],)),
        peer="whole solve",
        peers=Times((seconds,)),
        note=f"energy {found['lost']:+.3f} %",
        headline=usual,
        **peaks,
    )
    return row.promised(Target("% lost", found["lost"], MOST_LOSS, most=True)) if usual else row


def peak(job: Case) -> int:
    """Growth of memory by a solve, beyond its costs."""
    problem = INSTANCES[job["instance"]].load(data_folder())
    given = problem.unary, problem.pairwise, problem.weight
    options = {**OPTIONS, "iterations": 1}
    if job["tiled"]:
        return growth(lambda: mrfcore.minimize_tiled(*given, tile=TILE, overlap=USUAL, **options))
    return growth(lambda: mrfcore.minimize(*given, **options))


PART = Part("tiles", cases, measure, peak=peak)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
