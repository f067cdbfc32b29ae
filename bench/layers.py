# SPDX-License-Identifier: Apache-2.0
"""Differentiable message passing against its plain-torch reference: forward, backward, memory.

    python bench/layers.py [--quick]

Gradients of unaries and edge weights, and of the table where V is one. Both in one process, on one
thread (and on all; the reference there for the first case only). Where the reference would take
long it gets the first rows, and its times and memory are scaled, as the remarks say (--every: whole
images, and also 8 and 16 neighbours with 96 labels: an hour). Forward passes keep what backward
ones need. Memory is the growth of the peak resident set over what the process holds with its inputs
in place, in a process of its own. Bounds: bytes that must be moved.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from _measure import Clock, Phases, Side, clock_of, growth, interleave
from _part import Case, Found, Part, Run
from _rows import Row, Target, Times

ITERATIONS, TRUNCATION, DOUBLING_STEPS = 2, 8, 3


def cases(run: Run) -> Iterator[Case]:
    """All set-ups, those whose reference takes longest last."""
    for labels, connectivity in [(32, 4)] if run.quick else [(32, 4), (32, 8), (32, 16), (96, 4)]:
        for solver in ("trwp", "isgmr", "sgm"):
            yield case(run, solver=solver, labels=labels, connectivity=connectivity)
    if run.quick:
        return
    for solver in ("trwp", "isgmr", "sgm") if run.every else ():
        yield case(run, solver=solver, labels=96, connectivity=8)
        yield case(run, solver=solver, labels=96, connectivity=16)
    yield case(run, potential="table")
    # What storing less costs: the same work, every 4th of 8 iterations kept.
    yield case(run, iterations=8)
    yield case(run, iterations=8, store_every=4)


def case(run: Run, **changes: Any) -> Case:
    height, width = (64, 96) if run.quick else (256, 512)
    usual = {"solver": "trwp", "labels": 32, "connectivity": 4, "potential": "truncated_linear"}
    more = {"height": height, "width": width, "iterations": ITERATIONS, "store_every": 1}
    return {**usual, **more, **changes}


def inputs(case: Case) -> tuple[Any, Any, list[Any]]:
    """Unaries [1, L, H, W]; a function of them, the table and the weights; leaves of gradients."""
    import torch

    import mrfcore

    torch.manual_seed(0)
    labels, height, width = case["labels"], case["height"], case["width"]
    unary = torch.rand(1, labels, height, width).to(memory_format=torch.channels_last)
    weights = torch.rand(case["connectivity"] // 2, height, width)
    leaves = [unary.requires_grad_(), weights.requires_grad_()]
    pairwise: Any = mrfcore.TruncatedLinear(TRUNCATION)
    if case["potential"] == "table":
        pairwise = torch.rand(labels, labels, requires_grad=True)
        leaves.append(pairwise)
    return unary, pairwise, leaves


def form(side: str, case: Case, threads: int) -> tuple[Callable[[], Any], list[Any]]:
    """Costs by either side, and what to differentiate them by."""
    from mrfcore import ops
    from mrfcore.ops import reference

    unary, pairwise, leaves = inputs(case)
    options = {name: case[name] for name in ("solver", "connectivity", "iterations")}
    function: Any = reference.message_passing
    if side == "ours":
        function = ops.message_passing
        options |= {"threads": threads, "store_every": case["store_every"]}
    return lambda: function(unary, pairwise, leaves[1], **options), leaves


def both_ways(call: Callable[[], Any], leaves: list[Any], clock: Clock) -> Side:
    """Forward as training runs it, and backward."""
    import torch

    def once() -> Phases:
        start = clock()
        costs = call()
        forward = clock() - start
        grad = torch.full_like(costs, 0.5)
        start = clock()
        torch.autograd.grad(costs, leaves, grad)
        return {"forward": forward, "backward": clock() - start}

    return once


def warm_up(side: str, case: Case) -> None:
    """A small call: torch imports modules in the first backward pass that is given a gradient."""
    import torch

    call, leaves = form(side, {**case, "height": 4, "width": 4}, 1)
    costs = call()
    torch.autograd.grad(costs, leaves, torch.ones_like(costs))


def check(case: Case) -> None:
    """Both compute the same costs, on few pixels."""
    import torch

    few = {**case, "height": 12, "width": 9}
    ours, theirs = (form(side, few, 1)[0]().detach() for side in ("ours", "reference"))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def measure(case: Case, run: Run) -> Found:
    """A row forward, one back."""
    import torch

    check(case)
    first = case == next(iter(cases(run)))
    shown = {"ours": case, "reference": {**case, "height": reference_rows(case, run)}}
    taken: dict[int, Any] = {}
    for threads in run.thread_counts:
        torch.set_num_threads(threads)
        clock, sides = clock_of(threads), {}
        for side in shown if threads == 1 or first else ("ours",):
            warm_up(side, case)
            sides[side] = both_ways(*form(side, shown[side], threads), clock)
        # The reference once where it takes long; ours then some more.
        taken[threads] = interleave(sides, run.rounds(2) if first else 1, warm=int(first))
        more = interleave({"ours": sides["ours"]}, 2 if first else run.rounds(5), warm=0)
        for phase, samples in more["ours"].items():
            taken[threads]["ours"][phase] += samples
    peaks = {side: run.peak({**shown[side], "side": side}) for side in shown}
    found = {**case, **count(case), "reference_rows": shown["reference"]["height"]}
    found |= {"seconds": taken, "peak_bytes": peaks}
    return found, list(rows_of(found, run))


def reference_rows(case: Case, run: Run) -> int:
    """Of the problem that the reference gets."""
    work = case["labels"] ** 2 * case["connectivity"] * case["iterations"]
    whole = run.every or work <= 32**2 * 4 * ITERATIONS
    return case["height"] if whole else min(case["height"], 64)


def rows_of(found: dict[str, Any], run: Run) -> Iterator[Row]:
    """Forward, backward."""
    taken, peaks = found["seconds"], found["peak_bytes"]
    bound = run.ceilings.bound(moved_bytes=found["predicted_bytes_per_pass"])
    every = f", stored every {found['store_every']}" if found["store_every"] > 1 else ""
    what = f"layer {found['solver']}-{found['connectivity']} {found['potential'].replace('_', ' ')}"
    what += f" x{found['iterations']}{every}"

    rows, height = found["reference_rows"], found["height"]
    note = f"peer: {rows} of {height} rows, scaled" if rows < height else ""
    peer_peak = peaks["reference"]

    def times(threads: int, side: str, phase: str) -> Times | None:
        samples = taken.get(threads, {}).get(side, {}).get(phase)
        scale = height / rows if side == "reference" else 1.0
        return Times(tuple(scale * s for s in samples)) if samples else None

    most = max(taken) if max(taken) > 1 else 0
    for phase, least in (("forward", 50), ("backward", 100)):
        row = Row(
            f"{what}, {phase}",
            f"{found['height']}x{found['width']}x{found['labels']}",
            times(1, "ours", phase),
            bound.seconds,
            bound.by,
            "torch reference",
            times(1, "reference", phase),
            times(most, "ours", phase),
            times(most, "reference", phase),
            peaks["ours"],
            None if peer_peak is None else round(peer_peak * height / rows),
            note=note,
            headline=found["labels"] == 96,
        )
        row = row.promised(ratio=least)
        if phase == "backward":
            forward = times(1, "ours", "forward")
            assert forward is not None
            assert row.ours is not None
            over = Target("b/f", row.ours.median / forward.median, 1.5, most=True)
            row = row.promised(over, memory=10)
        yield row


VOLUMES = {"trwp": 6, "isgmr": 5, "sgm": 3}  # read and written once per pair of directions


def count(case: dict[str, Any]) -> dict[str, float]:
    """What has to be moved and computed, by counting.

    Arg-mins by the text's formula [T:1636]. Bytes: a pair of directions is swept both ways strip by
    strip, so each volume that it reads or writes (trwp: sum and two messages, both ways; isgmr does
    not write the sum; sgm: unary, and the sum both ways) crosses the memory bus once per pair;
    arg-mins are written, later read, once. Operations: of the reference, additions and minima; of
    ours, for truncated linear, the doubling steps (2 additions, 2 comparisons, 2 minima, 2
    selections per label and step).
    """
    height, width, labels = case["height"], case["width"], case["labels"]
    messages = case["iterations"] * case["connectivity"] * height * width
    argmin_bytes = messages * (labels + 1) * (1 if labels <= 256 else 2)
    volumes = VOLUMES[case["solver"]] * case["iterations"] * case["connectivity"] // 2
    moved = volumes * height * width * labels * 4 + argmin_bytes
    return {
        "predicted_argmin_bytes": argmin_bytes,
        "predicted_reference_argmin_bytes": messages * (labels + 1) * 8,  # int64
        "predicted_bytes_per_pass": moved,
        "reference_operations": 2.0 * messages * labels**2,
        "our_forward_operations": 8.0 * messages * labels * DOUBLING_STEPS
        if case["potential"] == "truncated_linear"
        else 4.0 * messages * labels**2,
        "our_backward_scatters": float(messages) * labels,
    }


def peak(job: Case) -> int:
    """Growth in one forward and backward pass, bytes."""
    import torch

    torch.set_num_threads(1)
    warm_up(job["side"], job)
    call, leaves = form(job["side"], job, 1)
    grad = torch.rand_like(leaves[0])
    return growth(lambda: torch.autograd.grad(call(), leaves, grad))


PART = Part("layers", cases, measure, needs=("torch",), peak=peak)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
