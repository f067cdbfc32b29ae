# SPDX-License-Identifier: Apache-2.0
"""Pairwise margin loss against dense torch, forward and backward.

    python bench/pairwise_margin.py [--quick]

Dense has all N^2 similarities, the positive part by group sums. Both in turn in one process, on one
thread and on all; losses must agree. "raw": random embeddings, most pairs cost; "learnt": groups
apart, few do. Memory is the growth of the peak resident set, each in a process of its own.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

from _measure import clock_of, fields, growth, interleave, passes
from _part import Case, Found, Part, Run
from _rows import Row

GROUPS, DIMS, ALPHA = 10, 64, 0.5


def cases(run: Run) -> Iterator[Case]:
    for embedding in ("raw", "learnt"):
        yield {"embedding": embedding, "points": 1000 if run.quick else 4000}


def dense(x: Any, labels: Any) -> Any:
    """Of x [D, N], the fewest passes over N^2 numbers that plain torch offers."""
    import torch

    unit = torch.nn.functional.normalize(x, dim=0)
    weights = 1 / torch.bincount(labels)[labels].to(x.dtype)
    sums = torch.zeros(x.shape[0], GROUPS).index_add(1, labels, unit * weights)
    positive = (1 - sums.square().sum(0)).sum() / 2
    over = ((0.5 + 0.5 * (unit.T @ unit)) - ALPHA).relu()
    factor = torch.outer(weights, weights) * (labels[:, None] != labels)
    return (positive + (over * factor).sum()) / x.shape[1]


def inputs(case: Case) -> tuple[Any, Any]:
    """Embeddings [D, N] and their groups [N]."""
    import torch

    random = torch.Generator().manual_seed(1)
    labels = torch.randint(0, GROUPS, (case["points"],), generator=random)
    x = torch.randn(DIMS, case["points"], generator=random)
    if case["embedding"] == "learnt":
        x = x * 0.003 + torch.eye(DIMS)[:, labels] - 0.02
    return x.requires_grad_(), labels


def forms(x: Any, labels: Any, threads: int) -> dict[str, Callable[[], Any]]:
    from mrfcore.ops.pairwise_margin import pairwise_margin_loss

    return {
        "ours": lambda: pairwise_margin_loss(x[None], labels[None], ALPHA, threads=threads),
        "dense": lambda: dense(x, labels),
    }


def measure(case: Case, run: Run) -> Found:
    """Loss and gradient, in turn."""
    import torch

    x, labels = inputs(case)
    taken, losses = {}, {}
    for threads in run.thread_counts:
        torch.set_num_threads(threads)
        both = forms(x, labels, threads)
        losses = {name: float(form().detach()) for name, form in both.items()}
        clock = clock_of(threads)
        sides = {name: passes(form, x, None, clock) for name, form in both.items()}
        taken[threads] = interleave(sides, run.rounds(5))
    peaks = {name: run.peak({**case, "side": name}) for name in ("ours", "dense")}
    same = math.isclose(losses["ours"], losses["dense"], rel_tol=1e-3, abs_tol=1e-5)
    row = Row(
        f"pairwise margin, both ways, {case['embedding']}",
        f"N={case['points']} D={DIMS}",
        **fields(taken, "dense", "both"),
        peer="torch dense",
        peak_bytes=peaks["ours"],
        peer_peak_bytes=peaks["dense"],
        headline=True,
        problem="" if same else f"failed: losses differ: {losses}",
    )
    return {**case, "losses": losses, "seconds": taken, "peak_bytes": peaks}, [row]


def peak(case: Case) -> int:
    """Growth in one forward and backward pass, after a small one has loaded everything."""
    import torch

    torch.set_num_threads(1)
    grown = 0
    for points in (70, case["points"]):
        x, labels = inputs({**case, "points": points})
        form = forms(x, labels, 1)[case["side"]]
        grown = growth(lambda f=form, x=x: torch.autograd.grad(f(), x))
    return grown


PART = Part("pairwise_margin", cases, measure, needs=("torch",), peak=peak)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
