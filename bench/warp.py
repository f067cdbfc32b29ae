# SPDX-License-Identifier: Apache-2.0
"""Bilinear warps against torch's grid_sample.

    python bench/warp.py [--quick]

The same samples by both, forward and backward (gradients of image and flow), in turn in one
process: on one thread in processor time, on all in wall time. Medians, and the median of the ratios
of neighbouring samples. grid_sample gets a grid that is ready: making one of a flow is not timed.

Prints a table and writes `bench/results/<machine>/warp.json`; `--quick` measures a small image into
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

from _machine import ROOT, describe, results_folder, write

TARGET = 1.0  # times grid_sample's speed
SIDES = ("ours", "grid_sample")


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Warps against grid_sample.")
    parser.add_argument("--quick", action="store_true", help="a small image and few samples")
    parser.add_argument("--repetitions", type=int, default=41)
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        print("warp.py: no torch, nothing to compare with; skipped", file=sys.stderr)
        return 0
    folder = ROOT / "build/bench" if args.quick else results_folder(args.machine)
    output = args.output or folder / "warp.json"
    size, repetitions = (64, 5) if args.quick else (256, args.repetitions)
    cases = [
        compare(size, channels, flow, padding, threads, repetitions)
        for threads in sorted({1, os.cpu_count() or 1})
        for channels in (3, 21)
        for flow in ("smooth", "random")
        for padding in ("zeros", "replicate")
    ]
    result = {"machine": describe(), "target": TARGET, "cases": cases}
    write(output, json.dumps(result, indent=1) + "\n")
    print(table(cases))
    print(f"\nwritten: {output}")
    return 0


def flows(kind: str, size: int) -> Any:
    """[1, 2, size, size]: smooth as optical flow is, or to anywhere."""
    import torch

    if kind == "random":
        return size / 4 * torch.randn(1, 2, size, size)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([5 * torch.sin(y / 31) + x / 50, 4 * torch.cos(x / 23)])[None]


def sides(size: int, channels: int, kind: str, padding: str, threads: int) -> dict[str, Any]:
    """Of both: a function of no arguments, and the tensors to differentiate by."""
    import torch

    from mrfcore.nn import functional

    image = torch.rand(1, channels, size, size).requires_grad_()
    flow = flows(kind, size)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    at = torch.stack([x + flow[:, 0], y + flow[:, 1]], -1)
    grid = (2 * at / (size - 1) - 1).requires_grad_()
    flow.requires_grad_()
    mode = {"zeros": "zeros", "replicate": "border"}[padding]

    def ours() -> Any:
        return functional.warp(image, flow, padding, threads=threads)

    def theirs() -> Any:
        return torch.nn.functional.grid_sample(image, grid, padding_mode=mode, align_corners=True)

    # A sample half an ulp off a pixel's border rounds to either side: no bits to compare.
    torch.testing.assert_close(ours(), theirs(), rtol=1e-3, atol=1e-3)
    return {"ours": (ours, (image, flow)), "grid_sample": (theirs, (image, grid))}


def compare(
    size: int, channels: int, kind: str, padding: str, threads: int, repetitions: int
) -> dict[str, Any]:
    """Median seconds of both, and medians of ratios."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    both = sides(size, channels, kind, padding, threads)
    grad = torch.rand(1, channels, size, size)
    clock = time.process_time if threads == 1 else time.perf_counter
    samples: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(repetitions + 1):
        for side in SIDES:
            samples[side].append(once(*both[side], grad, clock))
    samples = {side: taken[1:] for side, taken in samples.items()}  # the first one warms up
    found: dict[str, Any] = {
        "size": size,
        "channels": channels,
        "flow": kind,
        "padding": padding,
        "threads": threads,
        "seconds": {
            side: {name: statistics.median(s[name] for s in taken) for name in taken[0]}
            for side, taken in samples.items()
        },
    }
    for name in samples["ours"][0]:
        pairs = zip(samples["grid_sample"], samples["ours"], strict=True)
        found[name] = statistics.median(theirs[name] / ours[name] for theirs, ours in pairs)
    return found


def once(
    form: Callable[[], Any], inputs: tuple[Any, ...], grad: Any, clock: Callable[[], float]
) -> dict[str, float]:
    """Seconds of a pass forward that keeps nothing, and of one back."""
    import torch

    with torch.no_grad():
        start = clock()
        form()
        forward = clock() - start
    out = form()
    start = clock()
    torch.autograd.grad(out, inputs, grad)
    return {"forward": forward, "backward": clock() - start}


def table(cases: list[dict[str, Any]]) -> str:
    """For people."""
    lines = [f"{'case':44}{'fwd ms':>8}{'ratio':>7}{'bwd ms':>8}{'ratio':>7}  missed"]
    for c in cases:
        name = f"C={c['channels']} {c['size']}^2 {c['flow']} {c['padding']} threads={c['threads']}"
        ours = c["seconds"]["ours"]
        missed = " ".join(n for n in ("forward", "backward") if c[n] < TARGET)
        lines.append(
            f"{name:44}{1e3 * ours['forward']:>8.2f}{c['forward']:>6.1f}x"
            f"{1e3 * ours['backward']:>8.2f}{c['backward']:>6.1f}x  {missed}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
