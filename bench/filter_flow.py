# SPDX-License-Identifier: Apache-2.0
"""Filter flow against its plain-torch forms: F.unfold, and a loop over the k^2 shifted products.

    python bench/filter_flow.py [--quick]

All sides in turn in one process, on one thread and on all. Backward is the gradient of both inputs;
results must agree. Memory is the growth of the peak resident set in forward and backward, each side
in a process of its own. Bounds: bytes that must be moved.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from _measure import clock_of, fields, growth, interleave, passes
from _part import Case, Found, Part, Run
from _rows import Row

PEERS = {"unfold": "torch unfold", "loop": "torch loop"}
TARGETS = {("forward", "unfold"): 30, ("backward", "unfold"): 10, ("forward", "loop"): 8}


def cases(run: Run) -> Iterator[Case]:
    """Sizes of the targets, without and with the softmax."""
    size = 64 if run.quick else 256
    for channels, side in [(3, 7)] if run.quick else [(3, 7), (3, 11), (21, 7), (21, 11)]:
        for normalize in (None, "softmax"):
            yield {"channels": channels, "side": side, "size": size, "normalize": normalize}


def form(side: str, normalize: str | None, threads: int) -> Callable[[Any, Any], Any]:
    """(image, filters) -> out."""
    import torch
    from torch.nn.functional import unfold

    from mrfcore.nn import functional
    from mrfcore.ops import filter_flow_reference

    def unfolded(image: Any, filters: Any) -> Any:
        batch, channels, height, width = image.shape
        taps = filters.shape[1]
        k = round(taps**0.5)
        weights = torch.softmax(filters, 1) if normalize else filters
        columns = unfold(image, k, padding=k // 2).view(batch, channels, taps, height, width)
        return (columns * weights[:, None]).sum(2)

    return {
        "ours": lambda i, f: functional.filter_flow(i, f, normalize, threads=threads),
        "unfold": unfolded,
        "loop": lambda i, f: filter_flow_reference.filter_flow(i, f, normalize),
    }[side]


def inputs(case: Case) -> tuple[Any, Any, Any]:
    """Image, filters, and a gradient of the result."""
    import torch

    torch.manual_seed(0)
    shape = (1, case["channels"], case["size"], case["size"])
    image = torch.rand(shape, requires_grad=True)
    filters = torch.randn(1, case["side"] ** 2, *shape[2:], requires_grad=True)
    return image, filters, torch.rand(shape)


def measure(case: Case, run: Run) -> Found:
    """Times of all sides in turn, peaks, two rows a peer."""
    import torch

    image, filters, grad = inputs(case)
    taken = {}
    for threads in run.thread_counts:
        torch.set_num_threads(threads)
        forms = {s: form(s, case["normalize"], threads) for s in ("ours", *PEERS)}
        outs = {s: f(image, filters).detach() for s, f in forms.items()}
        for peer in PEERS:
            torch.testing.assert_close(outs["ours"], outs[peer], rtol=1e-4, atol=1e-4)
        sides = {
            s: passes(partial(f, image, filters), (image, filters), grad, clock_of(threads))
            for s, f in forms.items()
        }
        taken[threads] = interleave(sides, run.rounds(3))
    peaks = {s: run.peak({**case, "implementation": s}) for s in ("ours", *PEERS)}
    moved = count(case)
    softmax = " softmax" if case["normalize"] else ""
    rows = []
    for phase in ("forward", "backward"):
        bound = run.ceilings.bound(moved_bytes=moved[f"{phase}_bytes"])
        for peer, name in PEERS.items():
            row = Row(
                f"filter flow{softmax} {phase}",
                f"C={case['channels']} k={case['side']} {case['size']}^2",
                **fields(taken, peer, phase),
                bound_s=bound.seconds,
                bound_by=bound.by,
                peer=name,
                peak_bytes=peaks["ours"],
                peer_peak_bytes=peaks[peer],
                headline=(case["channels"], case["side"]) == (21, 7) and not case["normalize"],
            )
            least = TARGETS.get((phase, peer))
            rows.append(row if least is None else row.promised(ratio=least))
    return {**case, **moved, "seconds": taken, "peak_bytes": peaks}, rows


def count(case: Case) -> dict[str, int]:
    """Bytes that must be moved and multiply-adds: the filters once forward, twice and their
    gradient once (with the read that a write to memory costs) backward."""
    filters = 4 * case["side"] ** 2 * case["size"] ** 2
    images = 4 * case["channels"] * case["size"] ** 2
    return {
        "forward_bytes": filters + 2 * images,
        "backward_bytes": (4 if case["normalize"] else 3) * filters + 4 * images,
        "forward_multiply_adds": filters // 4 * case["channels"],
    }


def peak(job: Case) -> int:
    """Growth in one forward and backward pass, bytes."""
    import torch

    torch.set_num_threads(1)
    run = form(job["implementation"], job["normalize"], 1)
    grown = 0
    for size in (16, job["size"]):  # once small: torch imports modules in the first backward pass
        image, filters, grad = inputs({**job, "size": size})
        grown = growth(lambda i=image, f=filters, g=grad: torch.autograd.grad(run(i, f), (i, f), g))
    return grown


PART = Part("filter_flow", cases, measure, needs=("torch",), peak=peak)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
