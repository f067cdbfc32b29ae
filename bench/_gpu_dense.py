# SPDX-License-Identifier: Apache-2.0
"""Dense operators for bench/gpu.py: cases, and what each has to move and compute. Needs no GPU.

Bytes are those of arguments and results, each once, and what a kernel cannot do without (a
softmax's statistics, a loop's rows); operations are those of the kernels' inner loops, as the head
of each file in cuda/ has them. Numbers are float32, ids int64, pictures bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Case = Mapping[str, Any]
Counts = dict[str, float]

EXPONENTIAL = 25  # operations
MARGIN = 10  # operations for a pair of points, beside its products
FUSED = 1  # a product and its sum, where kernels fuse them
PAIR = 2  # where they do not: the bits of the CPU
NINE = 9  # neighbours of a cell, and it


def dense_cases() -> list[dict[str, Any]]:
    """A training step's sizes; one small image, where launches are most of it."""
    step: dict[str, Any] = {"batch": 8, "height": 256, "width": 512}
    flows = [
        {"operator": "filter_flow", **step, "channels": c, "side": k, "softmax": s}
        for c, k, s in ((3, 11, True), (3, 11, False), (21, 11, True), (3, 31, True))
    ]
    return [
        *flows,
        *({"operator": "warp", **step, "channels": c} for c in (3, 21)),
        {"operator": "superpixel_pool", **step, "channels": 21, "superpixels": 225},
        {"operator": "logit_consistency", **step, "channels": 21, "superpixels": 225},
        {"operator": "soft_superpixel", **step, "channels": 21, "cell": 16},
        {"operator": "mean_shift", "batch": 1, "channels": 64, "points": 4800, "steps": 5},
        {"operator": "mean_shift", "batch": 16, "channels": 32, "points": 1024, "steps": 5},
        {"operator": "pairwise_margin", "batch": 1, "channels": 64, "points": 4800},
        *(slic_case(batch, 321, 481) for batch in (1, 16)),
        filter_case(321, 481, 10),
    ]


def tiny_dense_cases() -> list[dict[str, Any]]:
    """For rehearsals with the emulator: every operator."""
    step: dict[str, Any] = {"batch": 2, "height": 9, "width": 14, "channels": 3}
    points: dict[str, Any] = {"batch": 2, "channels": 5, "points": 70}
    return [
        {"operator": "filter_flow", **step, "side": 3, "softmax": True},
        {"operator": "filter_flow", **step, "side": 4, "softmax": False},
        {"operator": "warp", **step},
        {"operator": "superpixel_pool", **step, "superpixels": 5},
        {"operator": "logit_consistency", **step, "superpixels": 5},
        {"operator": "soft_superpixel", **step, "cell": 4},
        {"operator": "mean_shift", **points, "steps": 2},
        {"operator": "pairwise_margin", **points},
        slic_case(2, 9, 14),
        filter_case(9, 14, 3),
    ]


def slic_case(batch: int, height: int, width: int) -> dict[str, Any]:
    size = {"batch": batch, "height": height, "width": width, "channels": 3}
    return {"operator": "slic", **size, "iterations": 10}


def filter_case(height: int, width: int, radius: int) -> dict[str, Any]:
    size = {"batch": 1, "height": height, "width": width, "channels": 3}
    return {"operator": "mean_shift_filter", **size, "radius": radius}


def dense_name(case: Case) -> str:
    """Short, for tables."""
    parts = [case["operator"].replace("_", " ")]
    if "points" in case:
        parts.append(f"{case['points']}x{case['channels']}")
    else:
        parts.append(f"{case['width']}x{case['height']}x{case['channels']}")
    if "side" in case:
        parts.append(f"k={case['side']}" + (" softmax" if case["softmax"] else ""))
    if case["batch"] > 1:
        parts.append(f"B={case['batch']}")
    return " ".join(parts)


def dense_counts(case: Case) -> dict[str, Counts]:
    """Of forward and, where there is one, backward."""
    found: dict[str, Counts] = _COUNTS[case["operator"]](case)
    return found


def pixels(case: Case) -> int:
    """Of the whole batch."""
    return int(case["batch"] * case["height"] * case["width"])


def _each(elements: int, bytes_each: float, operations_each: float = 0.0) -> Counts:
    """Of so many pixels, or points; 128 operations a clock and multiprocessor."""
    return {
        "bytes": float(elements * bytes_each),
        "multiprocessor_clocks": elements * operations_each / 128,
    }


def _filter_flow(case: Case) -> dict[str, Counts]:
    """Backward: the transposed operator and the filters' gradient."""
    channels, taps, soft = case["channels"], case["side"] ** 2, bool(case["softmax"])
    a_tap = PAIR * channels + EXPONENTIAL * soft
    statistics = 8 * soft
    transposed = 4 * taps + 8 * channels + statistics
    gradient = 4 * taps * (1 + soft) + 8 * channels + (4 * channels + statistics) * soft
    return {
        "forward": _each(pixels(case), 4 * taps + 8 * channels + statistics, a_tap * taps),
        "backward": _each(pixels(case), transposed + gradient, 2 * a_tap * taps),
    }


def _warp(case: Case) -> dict[str, Counts]:
    """Backward: sums in words of 64 bits, cleared, read, and made numbers; the flow's gradient."""
    channels = case["channels"]
    to_image = (4 + 8 + 8 + 4) * channels + 8
    return {
        "forward": _each(pixels(case), 8 * channels + 8),
        "backward": _each(pixels(case), to_image + 8 * channels + 8 + 8),
    }


def _superpixel_pool(case: Case) -> dict[str, Counts]:
    """Backward: a gather."""
    both = 4 * case["channels"] + 8
    return {"forward": _each(pixels(case), both), "backward": _each(pixels(case), both)}


def _consistency(case: Case) -> dict[str, Counts]:
    both = 8 * case["channels"] + 8
    return {"forward": _each(pixels(case), both), "backward": _each(pixels(case), both)}


def _soft_superpixel(case: Case) -> dict[str, Counts]:
    """Pooled and unpooled. Backward: each way's gradient for values and for associations."""
    channels, q = case["channels"], 4 * NINE
    one_way = 4 * channels + q
    a_pixel = PAIR * NINE * channels
    return {
        "forward": _each(pixels(case), 2 * one_way, 2 * a_pixel),
        "backward": _each(pixels(case), 4 * one_way, 4 * a_pixel),
    }


def _mean_shift(case: Case) -> dict[str, Counts]:
    """Rows are read and written in every loop; products of all pairs of points."""
    points, dims, steps = case["batch"] * case["points"], case["channels"], case["steps"]
    rows = 8 * dims * steps + 8 * dims  # loops; in and out
    forward = case["points"] * (2 * FUSED * dims + EXPONENTIAL) * steps
    backward = case["points"] * (5 * FUSED * dims + EXPONENTIAL) * steps
    return {
        "forward": _each(points, rows, forward),
        "backward": _each(points, 2 * rows, backward),
    }


def _pairwise_margin(case: Case) -> dict[str, Counts]:
    """The gradient is made in the forward pass; backward scales it."""
    points, dims = case["batch"] * case["points"], case["channels"]
    pairs = case["points"] * (2 * FUSED * dims + MARGIN)
    return {
        "forward": _each(points, 8 * dims + 12, pairs),
        "backward": _each(points, 8 * dims),
    }


def _slic(case: Case) -> dict[str, Counts]:
    """Colours; per iteration nine distances and a pixel's share of sums; ids."""
    channels, iterations = case["channels"], case["iterations"]
    moved = 3 * channels + iterations * (2 * channels + 4) + 4
    distances = NINE * (2 * channels + 4) * iterations
    return {"forward": _each(pixels(case), moved, distances)}


def _mean_shift_filter(case: Case) -> dict[str, Counts]:
    """At least one move of every pixel: ten operations for each of the window's."""
    window = (2 * case["radius"] + 1) ** 2
    return {"forward": _each(pixels(case), 2 * case["channels"], 10 * window)}


_COUNTS = {
    "filter_flow": _filter_flow,
    "warp": _warp,
    "superpixel_pool": _superpixel_pool,
    "logit_consistency": _consistency,
    "soft_superpixel": _soft_superpixel,
    "mean_shift": _mean_shift,
    "pairwise_margin": _pairwise_margin,
    "slic": _slic,
    "mean_shift_filter": _mean_shift_filter,
}
