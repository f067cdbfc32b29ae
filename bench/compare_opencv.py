# SPDX-License-Identifier: Apache-2.0
"""mrfcore.stereo.match() with its defaults against OpenCV's StereoSGBM, in one run.

    python bench/compare_opencv.py [--repetitions 5] [--threads N]

Prints a table and writes `bench/results/<machine>/stereo_opencv.json` and `.md`. Same images, same
number of threads, calls interleaved; seconds are medians. OpenCV gets what its own sample program
sets (P1, P2 from the block and the channels, uniqueness 10, left-right check 1, speckles 100 / 32),
with two block sizes; images are extended to the left by the disparity range, else it could not
match their first columns. Its invalid pixels are then filled by the rule that match() uses, so that
all maps are dense; "given" is the share it had itself, "bad 1 given" the errors among those.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

import mrfcore
from _machine import data_folder, describe, results_folder, write
from mrfcore import metrics, stereo
from mrfcore._stereo_post import fill_background  # the same rule for both sides
from mrfcore.datasets import StereoPair, load_pair, motorcycle

SCENES = ("tsukuba", "venus", "teddy", "cones", "motorcycle")
MODES = {"SGBM": "5 directions", "HH": "8 directions", "SGBM_3WAY": "3 directions"}
BLOCKS = (3, 5)

Disparity = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Method:
    """A name and a function from a pair to (disparity, valid): NaN, False = invalid."""

    name: str
    run: Callable[[StereoPair], tuple[Disparity, npt.NDArray[np.bool_]]]


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="mrfcore.stereo.match against OpenCV.")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of both; default: those of mrfcore.info()")
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    args = parser.parse_args()
    threads = args.threads or mrfcore.info()["threads"]
    cv2.setNumThreads(threads)

    machine = describe()
    rows = []
    methods = [ours(threads), *opencv_methods()]
    for pair in pairs():
        rows += compare(pair, methods, args.repetitions)
    if not rows:
        parser.error("no stereo pair: set MRFCORE_DATA, or install scikit-image")
    rows += means(rows)
    result = {
        "machine": machine,
        "threads": threads,
        "repetitions": args.repetitions,
        "versions": {"mrfcore": mrfcore.__version__, "opencv": cv2.__version__},
        "isa": mrfcore.info()["isa"],
        "rows": rows,
    }
    text = markdown(result)
    print(text)
    folder = results_folder(args.machine)
    write(folder / "stereo_opencv.json", json.dumps(result, indent=1) + "\n")
    write(folder / "stereo_opencv.md", text)
    print(f"written: {folder}/stereo_opencv.json, .md")
    return 0


def pairs() -> Iterator[StereoPair]:
    """Those of SCENES that are there; says which are not."""
    for name in SCENES:
        try:
            yield motorcycle() if name == "motorcycle" else load_pair(name, data_folder())
        except (FileNotFoundError, ImportError) as error:
            print(f"left out: {name}: {error}", file=sys.stderr)


def ours(threads: int) -> Method:
    """match() with its defaults."""

    def run(pair: StereoPair) -> tuple[Disparity, npt.NDArray[np.bool_]]:
        r = stereo.match(pair.left, pair.right, pair.num_disparities, threads=threads)
        return r.disparity, r.valid

    return Method("mrfcore match()", run)


def opencv_methods() -> list[Method]:
    """Three modes, two block sizes."""
    return [
        Method(f"OpenCV {mode}, block {block}", opencv_runner(mode, block))
        for mode in MODES
        for block in BLOCKS
    ]


def opencv_runner(
    mode: str, block: int
) -> Callable[[StereoPair], tuple[Disparity, npt.NDArray[np.bool_]]]:
    """StereoSGBM with the settings of OpenCV's sample stereo_match."""

    def run(pair: StereoPair) -> tuple[Disparity, npt.NDArray[np.bool_]]:
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


def compare(pair: StereoPair, methods: list[Method], repetitions: int) -> list[dict[str, Any]]:
    """One row per method; rounds are interleaved."""
    seconds: dict[str, list[tuple[float, float]]] = {m.name: [] for m in methods}
    results = {m.name: m.run(pair) for m in methods}  # also warms caches and threads up
    for _ in range(repetitions):
        for method in methods:
            wall, cpu = time.perf_counter(), time.process_time()
            method.run(pair)
            elapsed = (time.perf_counter() - wall, time.process_time() - cpu)
            seconds[method.name].append(elapsed)
    return [row(pair, m.name, *results[m.name], seconds[m.name]) for m in methods]


def row(
    pair: StereoPair,
    name: str,
    disparity: Disparity,
    valid: npt.NDArray[np.bool_],
    seconds: list[tuple[float, float]],
) -> dict[str, Any]:
    """Medians of (wall, processor) seconds; errors in percent (bad) and pixels (epe)."""
    assert pair.disparity is not None
    dense = fill_background(disparity) if np.isnan(disparity).any() else disparity
    errors = metrics.stereo_metrics(dense, pair.disparity, pair.masks)
    wall, cpu = zip(*seconds, strict=True)
    given = np.where(valid, disparity, np.float32(np.nan))
    checked = metrics.stereo_metrics(given, pair.disparity, pair.nonocc, invalid="ignore")
    return {
        "scene": pair.name,
        "method": name,
        "seconds": statistics.median(wall),
        "seconds_range": [min(wall), max(wall)],
        "cpu_seconds": statistics.median(cpu),
        "bad_1_nonocc": errors["nonocc"].bad_1,
        "bad_2_nonocc": errors["nonocc"].bad_2,
        "epe_nonocc": errors["nonocc"].epe,
        "bad_1_all": errors["all"].bad_1,
        "epe_all": errors["all"].epe,
        "given": checked.density,
        "bad_1_given": checked.bad_1,
    }


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One more "scene" per method: the mean over all."""
    names = list(dict.fromkeys(r["method"] for r in rows))
    out = []
    for name in names:
        mine = [r for r in rows if r["method"] == name]
        numbers = [k for k, v in mine[0].items() if isinstance(v, float)]
        mean = {k: statistics.fmean(r[k] for r in mine) for k in numbers}
        out.append({"scene": "mean", "method": name, **mean})
    return out


def markdown(result: dict[str, Any]) -> str:
    """The table, the mean first."""
    machine, versions = result["machine"], result["versions"]
    lines = [
        f"mrfcore {versions['mrfcore']} ({result['isa']}) and OpenCV {versions['opencv']} on "
        f"{machine['cpu']}, {result['threads']} threads; medians of {result['repetitions']} "
        f"interleaved runs; load before: {machine['load_before']}. ms: wall clock; cpu: processor "
        "time of all threads; bad: share of pixels off by more than 1 or 2 pixels, percent; epe: "
        "mean error, pixels; nonocc: pixels visible in both images; given: share of those that "
        "passed the method's own checks.",
        "",
        "| scene | method | ms | cpu ms | bad 1 nonocc | bad 2 nonocc | epe nonocc | bad 1 all "
        "| given | bad 1 given |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    rows = sorted(result["rows"], key=lambda r: r["scene"] != "mean")
    for r in rows:
        lines.append(
            f"| {r['scene']} | {r['method']} | {1e3 * r['seconds']:.0f} "
            f"| {1e3 * r['cpu_seconds']:.0f} | {r['bad_1_nonocc']:.2f} "
            f"| {r['bad_2_nonocc']:.2f} | {r['epe_nonocc']:.2f} | {r['bad_1_all']:.2f} "
            f"| {r['given']:.1f} | {r['bad_1_given']:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
