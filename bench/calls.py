# SPDX-License-Identifier: Apache-2.0
"""What a call costs by itself: `minimize` and `energy` on 8 x 8 pixels, from NumPy and from torch.

    python bench/calls.py [--quick]

4 labels, Potts, one iteration, on one thread and with the default number. Nobody else has such a
function to compare with.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import mrfcore
from _measure import clock_of, interleave, timed
from _part import Case, Found, Part, Run
from _rows import Row, Target, Times

MOST_MICROSECONDS = {"numpy": 20, "torch": 30}
SOLVERS = ("trwp", "sgm", "isgmr", "bp", "trws", "mean_field", "icm")


def cases(run: Run) -> Iterator[Case]:
    for arrays in MOST_MICROSECONDS:
        for solver in SOLVERS[:1] if run.quick else SOLVERS:
            yield {"arrays": arrays, "function": "minimize", "solver": solver}
        yield {"arrays": arrays, "function": "energy", "solver": None}


def form(case: Case, threads: int | None) -> Callable[[], Any]:
    """The call."""
    costs: Any = np.random.default_rng(0).random((8, 8, 4), dtype=np.float32)
    labels: Any = np.argmin(costs, axis=2)
    if case["arrays"] == "torch":
        import torch

        costs, labels = torch.from_numpy(costs), torch.from_numpy(labels)
    potts = mrfcore.Potts()
    if case["function"] == "energy":
        return lambda: mrfcore.energy(labels, costs, potts, 0.5, threads=threads)
    options = {"solver": case["solver"], "iterations": 1, "threads": threads}
    return lambda: mrfcore.minimize(costs, potts, 0.5, **options)


def measure(case: Case, run: Run) -> Found:
    """One row."""
    what = case["function"] + (f" {case['solver']}" if case["solver"] else "")
    if importlib.util.find_spec(case["arrays"]) is None:
        return case, [Row(f"call of {what}", problem=f"left out: no module {case['arrays']}")]
    taken = {}
    for threads in run.thread_counts:
        side = timed(
            form(case, 1 if threads == 1 else None), clock_of(threads), 100 if run.quick else 500
        )
        taken[threads] = interleave({"ours": side}, run.rounds(15))["ours"]["call"]
    ours = Times(tuple(taken[1]))
    row = Row(
        f"call of {what}, {case['arrays']}",
        "8x8x4",
        ours,
        all_ours=Times(tuple(taken[run.threads])) if run.threads > 1 else None,
        headline=case["solver"] == "trwp",
    )
    if case["solver"] == "trwp":
        most = MOST_MICROSECONDS[case["arrays"]]
        row = row.promised(Target("µs", 1e6 * ours.median, most, most=True))
    return {**case, "seconds": taken}, [row]


PART = Part("calls", cases, measure)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
