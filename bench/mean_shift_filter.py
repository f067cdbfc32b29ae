# SPDX-License-Identifier: Apache-2.0
"""Mean-shift filtering against OpenCV's pyrMeanShiftFiltering, one thread.

    python bench/mean_shift_filter.py [--quick]

Processor time on images of $MRFCORE_DATA (else a synthetic one); the two take turns, and the ratio
is the median over the rounds. Results must agree in every pixel without a pyramid. Prints a table
and writes `bench/results/<machine>/mean_shift_filter.json`; `--quick` takes a small image and
writes into `build/bench`. Without OpenCV it skips.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _machine import ROOT, data_folder, describe, results_folder, write

IMAGES = (
    "middlebury/tsukuba/imL.ppm",
    "middlebury/teddy/imL.ppm",
    "kitti2015/image_2/000041_10.png",
)
RADII = ((10, 20.0), (5, 40.0), (21, 51.0))


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Mean-shift filtering against OpenCV.")
    parser.add_argument("--quick", action="store_true", help="a small image, few rounds")
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if importlib.util.find_spec("cv2") is None:
        print("mean_shift_filter.py: no OpenCV, nothing to compare with; skipped", file=sys.stderr)
        return 0
    import cv2

    cv2.setNumThreads(1)
    folder = ROOT / "build/bench" if args.quick else results_folder(args.machine)
    output = args.output or folder / "mean_shift_filter.json"
    rounds = 3 if args.quick else 9
    cases = [
        compare(name, image, radii, levels, rounds)
        for name, image in images(args.quick).items()
        for radii in RADII
        for levels in (0, 1)
    ]
    result = {"machine": describe(), "opencv": cv2.__version__, "rounds": rounds, "cases": cases}
    write(output, json.dumps(result, indent=1) + "\n")
    head = ("image", "size", "radii", "levels", "ours ms", "OpenCV ms", "ratio", "equal pixels")
    print("{:<16}{:>10}{:>10}{:>8}{:>9}{:>11}{:>7}{:>14}".format(*head))
    for c in cases:
        print(
            f"{c['image'][-15:]:<16}{c['width']:>5}x{c['height']:<4}{c['radii']!s:>10}"
            f"{c['levels']:>8}{1e3 * c['ours_s']:>9.1f}{1e3 * c['opencv_s']:>11.1f}"
            f"{c['ratio']:>6.1f}x{c['equal_pixels']:>14.4f}"
        )
    print(f"\nwritten: {output}")
    return 0 if all(c["equal_pixels"] == 1 for c in cases if c["levels"] == 0) else 1


def images(quick: bool) -> dict[str, Any]:
    """Photographs where there are some."""
    import cv2

    found = {name: cv2.imread(str(data_folder() / name)) for name in IMAGES[: 1 if quick else None]}
    found = {
        name: image[:96] if quick else image for name, image in found.items() if image is not None
    }
    if not found:
        smooth = cv2.GaussianBlur(
            np.random.default_rng(0).normal(128, 900, (288, 384, 3)), (0, 0), 9
        )
        found["synthetic"] = np.clip(smooth, 0, 255).astype(np.uint8)
    return found


def compare(
    name: str, image: Any, radii: tuple[int, float], levels: int, rounds: int
) -> dict[str, Any]:
    """Both on one image, in turns."""
    import cv2

    import mrfcore

    criteria = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 5, 1)
    ours: Callable[[], Any] = lambda: mrfcore.mean_shift_filter(  # noqa: E731
        image, *radii, levels=levels, threads=1
    )
    theirs: Callable[[], Any] = lambda: cv2.pyrMeanShiftFiltering(  # noqa: E731
        image, *radii, maxLevel=levels, termcrit=criteria
    )
    equal = (ours() == theirs()).all(2).mean()
    times = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    return {
        "image": name,
        "height": image.shape[0],
        "width": image.shape[1],
        "radii": radii,
        "levels": levels,
        "equal_pixels": float(equal),
        "ours_s": statistics.median(a for a, _ in times),
        "opencv_s": statistics.median(b for _, b in times),
        "ratio": statistics.median(b / a for a, b in times),
    }


def timed(call: Callable[[], Any]) -> float:
    """Processor time."""
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
