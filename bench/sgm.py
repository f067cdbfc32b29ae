# SPDX-License-Identifier: Apache-2.0
"""mrfcore.stereo.sgm() against OpenCV's StereoSGBM: disparity evaluations per second.

    python bench/sgm.py [--quick]

From images to disparities with sub-pixel values, uniqueness and left-right check, ours on census
codes of 7 x 9 pixels, OpenCV's with its sample program's settings, blocks of 3 x 3, no speckle
filter; its images are extended to the left by the disparity range beforehand, so that it looks at
as many pixels. An evaluation is a pixel and a disparity, whatever the number of paths. Ours are
first compared with `cost_volume` and `minimize`: the labels must be the same.

The bound counts the bytes that must move: of half of the paths a byte for each pixel and disparity,
written and read.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import mrfcore
from _measure import Samples, clock_of, fields, growth, interleave, timed
from _part import Case, Found, Part, Run
from _rows import Row, Target
from mrfcore import stereo

MODES = {"HH": "8 paths", "HH4": "4", "SGBM": "5", "SGBM_3WAY": "3"}
SIZES = ((480, 640), (375, 1242), (1080, 1920))
LABELS, BLOCK = 128, 3

Image = npt.NDArray[np.uint8]


def cases(run: Run) -> Iterator[Case]:
    for height, width in SIZES[:1] if run.quick else SIZES:
        yield {"height": height, "width": width, "labels": LABELS, "paths": 8}
    if not run.quick:
        height, width = SIZES[0]
        yield {"height": height, "width": width, "labels": LABELS, "paths": 4}


def pair_of(height: int, width: int) -> tuple[Image, Image]:
    """A textured ramp from 20 to 60 pixels with noise of its own in each view."""
    random = np.random.default_rng(0)
    right = random.integers(0, 240, (height, width))
    shift = np.linspace(20, 60, height).astype(int)[:, None]
    source = np.clip(np.arange(width) - shift, 0, None)
    left = np.take_along_axis(right, source, 1) + random.integers(0, 16, (height, width))
    return left.astype(np.uint8), right.astype(np.uint8)


def ours(case: Case, threads: int) -> Callable[[], Any]:
    left, right = pair_of(case["height"], case["width"])
    return lambda: stereo.sgm(left, right, case["labels"], paths=case["paths"], threads=threads)


def theirs(case: Case, mode: str) -> Callable[[], Any]:
    import cv2

    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=case["labels"],
        blockSize=BLOCK,
        P1=8 * BLOCK**2,
        P2=32 * BLOCK**2,
        disp12MaxDiff=1,
        preFilterCap=63,
        uniquenessRatio=10,
        mode=getattr(cv2, f"STEREO_SGBM_MODE_{mode}"),
    )
    left, right = (
        cv2.copyMakeBorder(image, 0, 0, case["labels"], 0, cv2.BORDER_REPLICATE)
        for image in pair_of(case["height"], case["width"])
    )
    return lambda: matcher.compute(left, right)


def same_labels(case: Case) -> bool:
    """Of a strip, with the float engine."""
    left, right = (image[:48] for image in pair_of(case["height"], case["width"]))
    volume = stereo.cost_volume(left, right, case["labels"], "census")
    expected = mrfcore.minimize(
        volume,
        mrfcore.SGMPenalty(30, 60),
        solver="sgm",
        connectivity=case["paths"],
        iterations=1,
    )
    found = stereo.sgm(left, right, case["labels"], paths=case["paths"])
    return np.array_equal(found.labels, expected.labels)


def measure(case: Case, run: Run) -> Found:
    """A row a mode."""
    import cv2

    cells = case["height"] * case["width"] * case["labels"]
    size = f"{case['height']}x{case['width']}x{case['labels']}, {case['paths']} paths"
    if not same_labels(case):
        return case, [Row("stereo.sgm", size, problem="failed: labels differ from minimize()'s")]
    taken: dict[int, Samples] = {}
    for threads in run.thread_counts:
        cv2.setNumThreads(threads)
        forms = {"ours": ours(case, threads), **{mode: theirs(case, mode) for mode in MODES}}
        clock = clock_of(threads)
        taken[threads] = interleave({n: timed(f, clock) for n, f in forms.items()}, run.rounds(9))
    speed = {
        threads: {
            name: cells / statistics.median(found["call"]) / 1e6 for name, found in sides.items()
        }
        for threads, sides in taken.items()
    }
    bound = run.ceilings.bound(moved_bytes=2 * cells)
    rows = []
    for mode, paths in MODES.items():
        note = ", ".join(
            f"{s['ours']:.0f} : {s[mode]:.0f} M/s{'' if threads == 1 else ' all'}"
            for threads, s in speed.items()
        )
        row = Row(
            "stereo.sgm",
            size,
            **fields(taken, mode),
            bound_s=bound.seconds,
            bound_by=bound.by,
            peer=f"OpenCV {mode}, {paths}",
            peak_bytes=run.peak(case) if mode == "HH" else None,
            note=note,
            headline=mode == "HH" and case["paths"] == 8,
        )
        if row.headline and (case["height"], case["width"]) == SIZES[0]:
            row = row.promised(Target("M evaluations/s", speed[1]["ours"], 1000), threads=1.7)
        rows.append(row)
    versions = {"opencv": cv2.__version__}
    return {**case, "versions": versions, "millions_per_second": speed, "seconds": taken}, rows


def peak(job: Case) -> int:
    return growth(ours(job, 1))


PART = Part("sgm", cases, measure, needs=("cv2",), peak=peak)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
