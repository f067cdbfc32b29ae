# SPDX-License-Identifier: Apache-2.0
"""SLIC against scikit-image and, where it is installed, fast-slic: time and quality.

    python bench/slic.py [--quick]

One thread each, processor time, in turn in one process; a ratio is the median of those of the
rounds. fast-slic runs its AVX2 kernels, as it comes (every third row in an iteration) and on all
rows. Images and true segments are BSDS500's below $MRFCORE_DATA, where it is (scores need SciPy),
else one of scikit-image's.

Prints a table and writes `bench/results/<machine>/slic.json`; `--quick` measures little into
`build/bench`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before anything starts threads of its own

import numpy as np

from _machine import ROOT, describe, results_folder, write

NUM, COMPACTNESS = 225, 10.0
TARGETS = {"skimage": 1.0, "fast_slic": 1.0}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="SLIC against scikit-image and fast-slic.")
    parser.add_argument("--quick", action="store_true", help="few images and rounds")
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if importlib.util.find_spec("skimage") is None:
        print("slic.py: no scikit-image, nothing to compare with; skipped", file=sys.stderr)
        return 0
    folder = ROOT / "build/bench" if args.quick else results_folder(args.machine)
    output = args.output or folder / "slic.json"
    images = pictures(2 if args.quick else 10)
    result = {
        "machine": describe(),
        "num": NUM,
        "compactness": COMPACTNESS,
        "targets": TARGETS,
        "images": [name for name, _, _ in images],
        **compare(images, 2 if args.quick else 7),
    }
    write(output, json.dumps(result, indent=1) + "\n")
    print(table(result))
    print(f"\nwritten: {output}")
    return 0


def pictures(count: int) -> list[tuple[str, Any, list[Any]]]:
    """Names, images and their true segments."""
    from skimage import data, io

    folder = Path(os.environ.get("MRFCORE_DATA", ROOT.parent / "shared/data")) / "bsds500"
    paths = sorted((folder / "images").glob("*.jpg"))[:count]
    if not paths:
        return [("astronaut", data.astronaut(), [])]
    found = []
    for path in paths:
        truth = folder / "groundTruth" / f"{path.stem}.mat"
        found.append((path.stem, np.ascontiguousarray(io.imread(path)), drawn(truth)))
    return found


def drawn(path: Path) -> list[Any]:
    """What people drew."""
    if importlib.util.find_spec("scipy") is None or not path.is_file():
        return []
    from scipy.io import loadmat

    return [t["Segmentation"][0, 0].astype(int) for t in loadmat(path)["groundTruth"][0]]


def sides() -> dict[str, Callable[[Any], Any]]:
    """Functions of an image, asked for as many as makes them give equally many."""
    from skimage.segmentation import slic as theirs

    from mrfcore.superpixels import slic

    found: dict[str, Callable[[Any], Any]] = {
        "ours": lambda i: slic(i, round(0.92 * NUM), compactness=COMPACTNESS, threads=1),
        "skimage": lambda i: theirs(i, round(1.18 * NUM), COMPACTNESS, start_label=0),
    }
    if importlib.util.find_spec("fast_slic") is not None:
        setattr(np, "int", int)  # noqa: B010  # gone from NumPy, not from fast-slic
        from fast_slic.avx2 import SlicAvx2

        def fast(image: Any, stride: int) -> Any:
            model = SlicAvx2(NUM, compactness=COMPACTNESS, subsample_stride=stride, num_threads=1)
            return model.iterate(image)

        found["fast_slic"] = lambda i: fast(i, 3)
        found["fast_slic_all_rows"] = lambda i: fast(i, 1)
    return found


def compare(images: list[tuple[str, Any, list[Any]]], rounds: int) -> dict[str, Any]:
    """Times in turn, medians of ratios, mean scores."""
    functions = sides()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for k in range(rounds + 1):  # the first warms up
        for _, image, _ in images:
            for name, run in functions.items():
                start = time.process_time()
                run(image)
                if k:
                    times[name].append(time.process_time() - start)
    result: dict[str, Any] = {"sides": {}}
    for name, run in functions.items():
        ratios = [t / o for t, o in zip(times[name], times["ours"], strict=True)]
        result["sides"][name] = {
            "milliseconds": 1e3 * statistics.median(times[name]),
            "ratio": statistics.median(ratios),
            **scores(images, run),
        }
    return result


def scores(images: list[tuple[str, Any, list[Any]]], run: Callable[[Any], Any]) -> dict[str, float]:
    """Means over images and people."""
    from mrfcore import superpixels as sp

    rows = []
    for _, image, truths in images:
        ids = np.asarray(run(image)).astype(np.int64)
        count, shape = len(np.unique(ids)), sp.compactness(ids)
        for truth in truths:
            judged = (sp.boundary_recall, sp.undersegmentation_error, sp.achievable_accuracy)
            rows.append((count, shape, *(score(ids, truth) for score in judged)))
    names = ("superpixels", "compactness", "recall", "leak", "accuracy")
    return dict(zip(names, map(float, np.mean(rows, 0)), strict=True)) if rows else {}


def table(result: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"{result['machine']['cpu']}, one thread, {len(result['images'])} images, load before: "
        f"{result['machine']['load_before']}",
        f"{'':<20}{'ms':>8}{'ratio':>8}{'count':>7}{'recall':>8}{'leak':>8}{'ASA':>8}{'compact':>9}",
    ]
    for name, s in result["sides"].items():
        missed = "  missed" if s["ratio"] < TARGETS.get(name, 0) else ""
        line = f"{name:<20}{s['milliseconds']:>8.2f}{s['ratio']:>7.1f}x"
        if "recall" in s:
            line += (
                f"{s['superpixels']:>7.0f}{s['recall']:>8.4f}{s['leak']:>8.4f}"
                f"{s['accuracy']:>8.4f}{s['compactness']:>9.3f}"
            )
        lines.append(line + missed)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
