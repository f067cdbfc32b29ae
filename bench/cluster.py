# SPDX-License-Identifier: Apache-2.0
"""Mean shift clustering against scikit-learn's, a seed at every point.

    python bench/cluster.py [--quick]

Both fit the same points in turn: on one thread in processor time, then on all (scikit-learn in as
many processes). Labels must be equal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before scikit-learn loads; ours is told each time

import numpy as np

from _measure import clock_of, fields, interleave, timed
from _part import Case, Found, Part, Run
from _rows import Row

DIMS, CLUSTERS = 3, 8


def cases(run: Run) -> Iterator[Case]:
    for bandwidth in (1.0,) if run.quick else (0.5, 1.0):
        yield {"points": 600 if run.quick else 10000, "bandwidth": bandwidth}


def blobs(count: int) -> Any:
    """Gaussian clusters, some of which touch."""
    random = np.random.default_rng(0)
    centres = random.uniform(-6, 6, (CLUSTERS, DIMS))
    noise = 0.5 * random.standard_normal((count, DIMS))
    return centres[random.integers(0, CLUSTERS, count)] + noise


def measure(case: Case, run: Run) -> Found:
    """Both on the same points."""
    import sklearn.cluster

    from mrfcore.cluster import MeanShift

    points, bandwidth = blobs(case["points"]), case["bandwidth"]
    taken, same = {}, True
    for threads in [1] if run.quick else run.thread_counts:
        ours = MeanShift(bandwidth=bandwidth, threads=threads)
        theirs = sklearn.cluster.MeanShift(bandwidth=bandwidth, n_jobs=threads)
        clock = clock_of(threads)
        sides = {
            "ours": timed(partial(ours.fit, points), clock),
            "theirs": timed(partial(theirs.fit, points), clock),
        }
        # Theirs takes half a minute, so it is not run to warm up, nor twice with all threads.
        taken[threads] = interleave(sides, run.rounds(2) if threads == 1 else 1, warm=0)
        same = same and np.array_equal(ours.labels_, theirs.labels_)
    row = Row(
        "mean shift clustering",
        f"N={case['points']} D={DIMS} bandwidth {bandwidth}",
        **fields(taken, "theirs"),
        peer=f"scikit-learn {sklearn.__version__}",
        headline=bandwidth == 1.0,
        problem="" if same else "failed: labels differ from scikit-learn's",
    )
    clusters = len(ours.cluster_centers_)
    return {**case, "clusters": clusters, "same_labels": same, "seconds": taken}, [
        row.promised(ratio=20)
    ]


PART = Part("cluster", cases, measure, needs=("sklearn",))

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
