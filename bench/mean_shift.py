# SPDX-License-Identifier: Apache-2.0
"""Recurrent mean shift against dense torch: forward, backward, memory.

    python bench/mean_shift.py [--quick]

Dense is the fastest plain form: softmax attention with query = key = value = x. Both in turn in one
process, on one thread and on all; results and gradients must agree. Memory is the growth of the
peak resident set, each in a process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from _measure import clock_of, fields, growth, interleave, passes
from _part import Case, Found, Part, Run
from _rows import Row

KAPPA = 36.0


def cases(run: Run) -> Iterator[Case]:
    """Points, dimensions, loops."""
    if run.quick:
        yield {"points": 1200, "dims": 64, "steps": 1}
        return
    yield {"points": 4800, "dims": 64, "steps": 1}
    yield {"points": 4800, "dims": 64, "steps": 5}
    yield {"points": 4800, "dims": 16, "steps": 1}
    yield {"points": 4800, "dims": 3, "steps": 1}


def forms(steps: int, threads: int) -> dict[str, Callable[[Any], Any]]:
    """Both functions of x [1, D, N]."""
    import torch

    from mrfcore.ops.mean_shift import mean_shift

    def dense(x: Any) -> Any:
        x = torch.nn.functional.normalize(x, dim=1)
        for _ in range(steps):
            weights = torch.softmax(KAPPA * (x.transpose(1, 2) @ x), 1)
            x = torch.nn.functional.normalize(x @ weights, dim=1)
        return x

    return {"ours": lambda x: mean_shift(x, KAPPA, steps, threads=threads), "dense": dense}


def inputs(case: Case) -> tuple[Any, Any]:
    """Embeddings around twenty centres, and the gradient of the result."""
    import torch

    random = torch.Generator().manual_seed(1)
    centres = torch.randn(1, case["dims"], 20, generator=random)
    which = torch.arange(case["points"]) % 20
    noise = torch.randn(1, case["dims"], case["points"], generator=random)
    x = (centres[:, :, which] + 0.3 * noise).requires_grad_()
    return x, torch.randn(x.shape, generator=random)


def measure(case: Case, run: Run) -> Found:
    """Times in turn, peaks apart, largest differences."""
    import torch

    x, grad = inputs(case)
    taken, results = {}, {}
    for threads in run.thread_counts:
        torch.set_num_threads(threads)
        sides = {}
        for name, form in forms(case["steps"], threads).items():
            y = form(x)
            results[name] = y.detach(), *torch.autograd.grad(y, x, grad)
            sides[name] = passes(partial(form, x), x, grad, clock_of(threads))
        taken[threads] = interleave(sides, run.rounds(5))
    both = zip(results["ours"], results["dense"], strict=True)
    differences = [float((a - b).abs().max() / b.abs().max()) for a, b in both]
    peaks = {name: run.peak({**case, "side": name}) for name in ("ours", "dense")}
    row = Row(
        "mean shift, both ways",
        f"N={case['points']} D={case['dims']} x{case['steps']}",
        **fields(taken, "dense", "both"),
        peer="torch attention",
        peak_bytes=peaks["ours"],
        peer_peak_bytes=peaks["dense"],
        headline=case["steps"] == 1 and case["dims"] == 64,
        problem="" if max(differences) < 1e-3 else f"failed: results differ by {differences}",
    )
    found = {**case, "seconds": taken, "peak_bytes": peaks, "differences": differences}
    return found, [row.promised(ratio=3, memory=10)]


def peak(case: Case) -> int:
    """Growth of the resident set at its peak, after a small call has loaded everything."""
    import torch

    torch.set_num_threads(1)
    small, grad = inputs({"points": 70, "dims": case["dims"]})
    torch.autograd.grad(forms(1, 1)[case["side"]](small), small, grad)
    x, grad = inputs(case)
    form = forms(case["steps"], 1)[case["side"]]
    return growth(lambda: torch.autograd.grad(form(x), x, grad))


PART = Part("mean_shift", cases, measure, needs=("torch",), peak=peak)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
