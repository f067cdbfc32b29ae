# SPDX-License-Identifier: Apache-2.0
"""Mean-shift filtering against OpenCV's pyrMeanShiftFiltering.

    python bench/mean_shift_filter.py [--quick]

On images of $MRFCORE_DATA (else a synthetic one), in turn, on one thread and on all. Results must
agree in every pixel without a pyramid.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from _machine import data_folder
from _measure import clock_of, fields, interleave, timed
from _part import Case, Found, Part, Run
from _rows import Row

IMAGES = (
    "middlebury/tsukuba/imL.ppm",
    "middlebury/teddy/imL.ppm",
    "kitti2015/image_2/000041_10.png",
)
RADII = ((10, 20.0), (5, 40.0), (21, 51.0))


def cases(run: Run) -> Iterator[Case]:
    for name in images(run.quick):
        for radii in RADII[:1] if run.quick else RADII:
            for levels in (0, 1):
                yield {"image": name, "radii": radii, "levels": levels}


def images(quick: bool) -> dict[str, Any]:
    """Photographs where there are some."""
    import cv2

    read = {name: cv2.imread(str(data_folder() / name)) for name in IMAGES[: 1 if quick else None]}
    found = {n: image[:96] if quick else image for n, image in read.items() if image is not None}
    if not found:
        smooth = cv2.GaussianBlur(
            np.random.default_rng(0).normal(128, 900, (288, 384, 3)), (0, 0), 9
        )
        found["synthetic"] = np.clip(smooth, 0, 255).astype(np.uint8)
    return found


def measure(case: Case, run: Run) -> Found:
    """Both on one image, in turns."""
    import cv2

    image, radii, levels = images(run.quick)[case["image"]], case["radii"], case["levels"]
    criteria = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 5, 1)

    def ours_on(threads: int) -> Callable[[], Any]:
        import mrfcore

        return lambda: mrfcore.mean_shift_filter(image, *radii, levels=levels, threads=threads)

    def theirs() -> Any:
        return cv2.pyrMeanShiftFiltering(image, *radii, maxLevel=levels, termcrit=criteria)

    equal, taken = 1.0, {}
    for threads in run.thread_counts:
        cv2.setNumThreads(threads)
        ours, clock = ours_on(threads), clock_of(threads)
        equal = min(equal, float((ours() == theirs()).all(2).mean()))
        both = {"ours": timed(ours, clock), "opencv": timed(theirs, clock)}
        taken[threads] = interleave(both, run.rounds(9))
    row = Row(
        f"mean-shift filter {radii[0]}/{radii[1]:g}, levels {levels}",
        f"{case['image'].split('/')[-2:][0]} {image.shape[0]}x{image.shape[1]}",
        **fields(taken, "opencv"),
        peer=f"OpenCV {cv2.__version__}",
        note=f"{equal:.2%} of pixels equal",
        headline=levels == 0 and radii[0] == 10,
        problem="failed: pixels differ from OpenCV's" if levels == 0 and equal < 1 else "",
    )
    return {**case, "equal_pixels": equal, "seconds": taken}, [row]


PART = Part("mean_shift_filter", cases, measure, needs=("cv2",))

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
