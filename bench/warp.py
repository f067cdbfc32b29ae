# SPDX-License-Identifier: Apache-2.0
"""Bilinear warps against torch's grid_sample.

    python bench/warp.py [--quick]

The same samples by both, forward and backward (gradients of image and flow), in turn in one
process, on one thread and on all; results must agree. grid_sample gets a grid that is ready: making
one of a flow is not timed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from _measure import Side, clock_of, fields, interleave, passes
from _part import Case, Found, Part, Run
from _rows import Row


def cases(run: Run) -> Iterator[Case]:
    for channels in (3,) if run.quick else (3, 21):
        for flow in ("smooth", "random"):
            for padding in ("zeros",) if run.quick else ("zeros", "replicate"):
                yield {
                    "channels": channels,
                    "size": 128 if run.quick else 256,
                    "flow": flow,
                    "padding": padding,
                }


def flow_of(kind: str, size: int) -> Any:
    """[1, 2, size, size]: smooth as optical flow is, or to anywhere."""
    import torch

    if kind == "random":
        return size / 4 * torch.randn(1, 2, size, size)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([5 * torch.sin(y / 31) + x / 50, 4 * torch.cos(x / 23)])[None]


def sides(case: Case, threads: int) -> dict[str, Side]:
    """Both, on the same samples."""
    import torch

    from mrfcore.nn import functional

    torch.manual_seed(0)
    size, padding = case["size"], case["padding"]
    image = torch.rand(1, case["channels"], size, size).requires_grad_()
    flow = flow_of(case["flow"], size)
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
    grad = torch.rand(1, case["channels"], size, size)
    clock = clock_of(threads)
    return {
        "ours": passes(ours, (image, flow), grad, clock),
        "grid_sample": passes(theirs, (image, grid), grad, clock),
    }


def measure(case: Case, run: Run) -> Found:
    """A row forward, one back."""
    import torch

    taken = {}
    for threads in run.thread_counts:
        torch.set_num_threads(threads)
        taken[threads] = interleave(sides(case, threads), run.rounds(41))
    pixels = case["size"] ** 2
    moved = {"forward": 4 * pixels * (2 * case["channels"] + 2)}  # image, flow, result
    moved["backward"] = moved["forward"] + 4 * pixels * (case["channels"] + 2)  # and gradients
    rows = []
    for phase, count in moved.items():
        bound = run.ceilings.bound(moved_bytes=count)
        row = Row(
            f"warp {case['flow']} {case['padding']} {phase}",
            f"C={case['channels']} {case['size']}^2",
            **fields(taken, "grid_sample", phase),
            bound_s=bound.seconds,
            bound_by=bound.by,
            peer="torch grid_sample",
            headline=(case["flow"], case["padding"]) == ("smooth", "zeros"),
        )
        rows.append(row.promised(ratio=1))
    return {**case, "bytes": moved, "seconds": taken}, rows


PART = Part("warp", cases, measure, needs=("torch",))

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
