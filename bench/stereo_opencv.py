# SPDX-License-Identifier: Apache-2.0
"""mrfcore.stereo.match() with its defaults against OpenCV's StereoSGBM, all modes: time and errors.

    python bench/stereo_opencv.py [--quick]

Same images, same number of threads, calls in turn; also writes `stereo_opencv.md`. OpenCV gets what
its own sample program sets (P1, P2 from the block and the channels, uniqueness 10, left-right check
1, speckles 100 / 32), with two block sizes; images are extended to the left by the disparity range,
else it could not match their first columns. Its invalid pixels are then filled by the rule that
match() uses, so that all maps are dense; "given" is the share it had itself, "bad 1 given" the
errors among those.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from _machine import data_folder, describe, write
from _measure import Samples, clock_of, fields, interleave, timed
from _part import Case, Found, Part, Run
from _rows import Row

SCENES = ("tsukuba", "venus", "teddy", "cones", "motorcycle")
MODES = {"SGBM": "5 directions", "HH": "8", "HH4": "4", "SGBM_3WAY": "3"}
BLOCKS = (3, 5)

Disparity = npt.NDArray[np.float32]
Match = Callable[[Any], tuple[Disparity, npt.NDArray[np.bool_]]]  # NaN, False: invalid


def cases(run: Run) -> Iterator[Case]:
    for scene in SCENES[:1] if run.quick else SCENES:
        yield {"scene": scene}


def pair_of(name: str) -> Any:
    """Images and truth; raises where they are not here."""
    from mrfcore.datasets import load_pair, motorcycle

    return motorcycle() if name == "motorcycle" else load_pair(name, data_folder())


def methods(threads: int) -> dict[str, Match]:
    """By name; OpenCV's: three modes more than its default, two block sizes."""
    from mrfcore import stereo

    def ours(pair: Any) -> tuple[Disparity, npt.NDArray[np.bool_]]:
        r = stereo.match(pair.left, pair.right, pair.num_disparities, threads=threads)
        return r.disparity, r.valid

    theirs = {f"OpenCV {m}, block {b}": opencv(m, b) for m in MODES for b in BLOCKS}
    return {"ours": ours, **theirs}


def opencv(mode: str, block: int) -> Match:
    """StereoSGBM with the settings of OpenCV's sample stereo_match."""
    import cv2

    def run(pair: Any) -> tuple[Disparity, npt.NDArray[np.bool_]]:
        channels = 1 if pair.left.ndim == 2 else pair.left.shape[2]
        labels = -(-pair.num_disparities // 16) * 16  # it takes multiples of 16 only
        matcher = cv2.StereoSGBM.create(
            minDisparity=0,
            numDisparities=labels,
            blockSize=block,
            P1=8 * channels * block**2,
            P2=32 * channels * block**2,
            disp12MaxDiff=1,
            preFilterCap=63,
            uniquenessRatio=10,
            speckleWindowSize=100,
            speckleRange=32,
            mode=getattr(cv2, f"STEREO_SGBM_MODE_{mode}"),
        )
        extended = [
            cv2.copyMakeBorder(image, 0, 0, labels, 0, cv2.BORDER_REPLICATE)
            for image in (pair.left, pair.right)
        ]
        sixteenths = matcher.compute(*extended)[:, labels:]
        valid = sixteenths >= 0
        return np.where(valid, sixteenths / np.float32(16), np.float32(np.nan)), valid

    return run


def measure(case: Case, run: Run) -> Found:
    """All methods on one pair; a row a mode, with the block size of fewer errors."""
    import cv2

    try:
        pair = pair_of(case["scene"])
    except (FileNotFoundError, ImportError) as error:
        row = Row("stereo.match", case["scene"], problem=f"left out: {error}")
        return {**case, "methods": []}, [row]
    taken: dict[int, Samples] = {}
    for threads in run.thread_counts:
        cv2.setNumThreads(threads)
        clock = clock_of(threads)
        sides = {n: timed(partial(m, pair), clock) for n, m in methods(threads).items()}
        taken[threads] = interleave(sides, run.rounds(5))
    judged = {n: {"method": n, **errors(pair, *m(pair))} for n, m in methods(run.threads).items()}
    rows = []
    height, width = pair.left.shape[:2]
    for mode in MODES:
        names = [f"OpenCV {mode}, block {b}" for b in BLOCKS]
        name = min(names, key=lambda n: judged[n]["bad_1_nonocc"])
        bad = [judged[n]["bad_1_nonocc"] for n in ("ours", name)]
        note = f"bad-1 nonocc {bad[0]:.2f} : {bad[1]:.2f} %"
        size = f"{case['scene']} {height}x{width}x{pair.num_disparities}"
        rows.append(Row("stereo.match", size, **fields(taken, name), peer=name, note=note))
    for name, found in judged.items():
        samples = taken[run.threads][name]["call"]
        found["seconds"] = statistics.median(samples)
        found["seconds_one_thread"] = statistics.median(taken[1][name]["call"])
    versions = {"opencv": cv2.__version__}
    return {**case, "versions": versions, "methods": list(judged.values()), "seconds": taken}, rows


def errors(pair: Any, disparity: Disparity, valid: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Percent (bad) and pixels (epe)."""
    from mrfcore import metrics
    from mrfcore._stereo_post import fill_background  # the same rule for both sides

    dense = fill_background(disparity) if np.isnan(disparity).any() else disparity
    found = metrics.stereo_metrics(dense, pair.disparity, pair.masks)
    given = np.where(valid, disparity, np.float32(np.nan))
    checked = metrics.stereo_metrics(given, pair.disparity, pair.nonocc, invalid="ignore")
    return {
        "bad_1_nonocc": found["nonocc"].bad_1,
        "bad_2_nonocc": found["nonocc"].bad_2,
        "epe_nonocc": found["nonocc"].epe,
        "bad_1_all": found["all"].bad_1,
        "epe_all": found["all"].epe,
        "given": checked.density,
        "bad_1_given": checked.bad_1,
    }


def finish(found: list[dict[str, Any]], folder: Path) -> None:
    """The table for people, the mean over scenes first."""
    rows = [{"scene": c["scene"], **m} for c in found for m in c.get("methods", ())]
    if rows:
        write(folder / "stereo_opencv.md", markdown(means(rows) + rows))


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One more "scene" per method: the mean over all."""
    out = []
    for name in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == name]
        numbers = [k for k, v in mine[0].items() if isinstance(v, float)]
        out.append(
            {"scene": "mean", "method": name}
            | {k: statistics.fmean(r[k] for r in mine) for k in numbers}
        )
    return out


def markdown(rows: list[dict[str, Any]]) -> str:
    """One line a scene and method."""
    machine = describe()
    lines = [
        f"mrfcore.stereo.match (ours) and OpenCV's StereoSGBM on {machine['cpu']}, "
        f"{machine['cores']} cores; medians of calls in turn. ms: all threads, wall clock; ms one: "
        "one thread, processor time; bad: share of pixels off by more than 1 or 2 pixels, percent; "
        "epe: mean error, pixels; nonocc: pixels visible in both images; given: share of those "
        "that passed the method's own checks.",
        "",
        "| scene | method | ms | ms one | bad 1 nonocc | bad 2 nonocc | epe nonocc | bad 1 all "
        "| given | bad 1 given |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        lines.append(
            f"| {r['scene']} | {r['method']} | {1e3 * r['seconds']:.0f} "
            f"| {1e3 * r['seconds_one_thread']:.0f} | {r['bad_1_nonocc']:.2f} "
            f"| {r['bad_2_nonocc']:.2f} | {r['epe_nonocc']:.2f} | {r['bad_1_all']:.2f} "
            f"| {r['given']:.1f} | {r['bad_1_given']:.2f} |"
        )
    return "\n".join(lines) + "\n"


PART = Part("stereo_opencv", cases, measure, needs=("cv2",), finish=finish)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
