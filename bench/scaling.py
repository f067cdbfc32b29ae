# SPDX-License-Identifier: Apache-2.0
"""How the cost of an iteration grows: with pixels, 64 x 64 to 8192 x 4096, and with labels.

    python bench/scaling.py [--quick]

One thread, 4 neighbours, `mrfcore_measure` as in bench/solvers.py, a case per curve; the plot is
`scaling.png`. Sizes that do not fit the memory that is free are left out, and a row says so. The
exponent is the slope of the logarithm of time over that of size; 1 is linear. Over pixels it is
taken from 512 x 512 on, where nothing fits the caches any more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from _ceilings import PROGRAM
from _machine import available_bytes
from _part import Case, Found, Part, Run
from _rows import Row, Target, Times
from solvers import per_iteration

SIZES = (
    *((n, n) for n in (64, 128, 256, 512, 1024, 2048, 4096)),
    (4096, 8192),
)
LABELS = (8, 16, 32, 64, 128, 256, 512)
LARGE = 512 * 512  # pixels


def cases(run: Run) -> Iterator[Case]:
    """Curves."""
    sizes = SIZES[:4] if run.quick else SIZES
    labels = LABELS[1:4] if run.quick else LABELS
    for solver in ("trwp",) if run.quick else ("trwp", "trws", "sgm"):
        # The largest two take a minute each, and 15 GB: with one solver.
        points = [[h, w, 16] for h, w in (sizes if solver == "trwp" else sizes[:6])]
        yield {
            "over": "pixels",
            "solver": solver,
            "potential": "truncated_linear",
            "points": points,
        }
    for potential in ("truncated_linear", "sgm_penalty", "linear", "truncated_quadratic"):
        if not run.quick or potential == "truncated_linear":
            points = [[128, 256, n] for n in labels]
            yield {"over": "labels", "solver": "trwp", "potential": potential, "points": points}


def bytes_needed(height: int, width: int, labels: int) -> int:
    """Unaries, running sum, four messages, and what else there is."""
    return 4 * 7 * height * width * labels


def measure(case: Case, run: Run) -> Found:
    """Points of a curve, and a row of it."""
    points, left_out = [], []
    for height, width, labels in case["points"]:
        if bytes_needed(height, width, labels) > available_bytes():
            left_out.append(f"{height}x{width}x{labels}")
            continue
        times = time_of(case, height, width, labels, run)
        points.append(
            {"height": height, "width": width, "labels": labels, "seconds": times.samples}
        )
    sizes = [p["height"] * p["width"] if case["over"] == "pixels" else p["labels"] for p in points]
    seconds = [Times(tuple(p["seconds"])).median for p in points]
    exponent = slope(case["over"], sizes, seconds)
    last = points[-1]
    each = ", ".join(
        f"{1e9 * s / p['height'] / p['width']:.3g}" for s, p in zip(seconds, points, strict=True)
    )
    name = f"{case['solver']} {case['potential'].replace('_', ' ')}"
    size = f"{last['height']}x{last['width']}x{last['labels']}"
    row = Row(
        f"growth with {case['over']}, {name}",
        f"to {size}",
        Times(tuple(last["seconds"])),
        note=f"ns per pixel: {each}",
        problem=f"left out: too little memory for {', '.join(left_out)}" if left_out else "",
    )
    # The doubling that an untruncated linear V needs is one step more for twice the labels.
    linear = case["over"] == "pixels" or case["potential"] != "linear"
    target = Target("exponent", exponent, 1.05 if linear else 1.3, most=True)
    return {**case, "points": points, "exponent": exponent}, [row.promised(target)]


def time_of(case: Case, height: int, width: int, labels: int, run: Run) -> Times:
    """Of one iteration."""
    command = [PROGRAM, "solver", "--solver", case["solver"], "--potential", case["potential"]]
    command += ["--height", str(height), "--width", str(width), "--labels", str(labels)]
    large = height * width * labels > 1e8
    command += ["--rounds", "1" if large else str(run.rounds(3)), "--one-thread", "1"]
    command += ["--seconds", "0.05" if run.quick else "0.2"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found = json.loads(done.stdout)
    times = per_iteration(found["one_thread_s"], found["n"], "cpu")
    if times is None:
        raise RuntimeError(
            f"{height}x{width}x{labels}: setting up varies more than iterations take"
        )
    return times


def slope(over: str, sizes: list[int], seconds: list[float]) -> float:
    """Of the logarithms, by least squares."""
    kept = [(n, s) for n, s in zip(sizes, seconds, strict=True) if over == "labels" or n >= LARGE]
    if len(kept) < 2:
        kept = list(zip(sizes, seconds, strict=True))
    x, y = np.log(np.array(kept)).T
    return float(np.polyfit(x, y, 1)[0])


def finish(found: list[dict[str, Any]], folder: Path) -> None:
    """Time per pixel over pixels, and over labels."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = dict(zip(("pixels", "labels"), figure.subplots(1, 2), strict=True))
    for curve in found:
        axis, points = axes[curve["over"]], curve.get("points", ())
        if not points or "seconds" not in points[0]:
            continue  # failed
        pixels = np.array([p["height"] * p["width"] for p in points])
        medians = np.array([Times(tuple(p["seconds"])).median for p in points])
        x = pixels if curve["over"] == "pixels" else [p["labels"] for p in points]
        name = (
            curve["solver"] if curve["over"] == "pixels" else curve["potential"].replace("_", " ")
        )
        axis.loglog(x, 1e9 * medians / pixels, marker=".", label=name)
    axes["pixels"].set(
        xlabel="pixels", ylabel="ns per pixel and iteration", title="16 labels, truncated linear"
    )
    axes["labels"].set(xlabel="labels", title="TRWP, 128 x 256 pixels")
    if axes["labels"].lines:
        x, y = (np.asarray(v, float) for v in axes["labels"].lines[0].get_data())
        axes["labels"].plot(x, y[-1] * x / x[-1], ":", color="grey", label="proportional")
    axes["pixels"].set_ylim(
        bottom=axes["pixels"].get_ylim()[0] / 2, top=axes["pixels"].get_ylim()[1] * 2
    )
    for axis in axes.values():
        axis.grid(visible=True, which="both", alpha=0.25)
        axis.legend(fontsize="small")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "scaling.png", dpi=110)


PART = Part("scaling", cases, measure, finish=finish)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
