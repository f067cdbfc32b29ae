# SPDX-License-Identifier: Apache-2.0
"""Taking samples: sides in turn, clocks, peaks of memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from _machine import resident
from _rows import Times

Clock = Callable[[], float]
Phases = Mapping[str, float]  # seconds by what was done, such as forward and backward
Side = Callable[[], Phases]
Samples = dict[str, dict[str, list[float]]]  # by side, by phase


def clock_of(threads: int) -> Clock:
    """One thread: processor time, which others at work disturb least; else the wall clock."""
    return time.process_time if threads == 1 else time.perf_counter


def interleave(sides: Mapping[str, Side], rounds: int, warm: int = 1) -> Samples:
    """Samples of all sides, A B A B; the first `warm` rounds do not count."""
    found: Samples = {name: {} for name in sides}
    for k in range(warm + rounds):
        for name, side in sides.items():
            phases = side()
            if k < warm:
                continue
            for phase, value in phases.items():
                found[name].setdefault(phase, []).append(value)
    return found


def timed(call: Callable[[], Any], clock: Clock, calls: int = 1) -> Side:
    """A side of one phase, "call": seconds of one call, the mean of so many."""

    def once() -> Phases:
        start = clock()
        for _ in range(calls):
            call()
        return {"call": (clock() - start) / calls}

    return once


def calls_for(call: Callable[[], Any], at_least: float = 2e-3) -> int:
    """How many calls in a row take so many seconds: clocks tick, and have a cost."""
    call()
    start = time.perf_counter()
    call()
    elapsed = time.perf_counter() - start
    return max(1, round(at_least / max(elapsed, 1e-7)))


def passes(form: Callable[[], Any], inputs: Any, grad: Any, clock: Clock) -> Side:
    """A torch function forward (nothing kept), backward (all gradients), and both together."""
    import torch

    def once() -> Phases:
        with torch.no_grad():
            start = clock()
            form()
            forward = clock() - start
        start = clock()
        out = form()
        kept = clock() - start
        start = clock()
        torch.autograd.grad(out, inputs, torch.ones_like(out) if grad is None else grad)
        backward = clock() - start
        return {"forward": forward, "backward": backward, "both": kept + backward}

    return once


def growth(call: Callable[[], Any]) -> int:
    """Growth of the resident set to its peak during a call, bytes (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of the past
    before = resident("VmRSS")
    result = call()
    peak = resident("VmHWM")
    del result
    return peak - before


def fields(taken: Mapping[int, Samples], peer: str, phase: str = "call") -> dict[str, Times]:
    """Times of a row, ours beside a peer: of one thread, and of the most where there are more."""
    one, most = min(taken), max(taken)
    found = {
        "ours": Times(tuple(taken[one]["ours"][phase])),
        "peers": Times(tuple(taken[one][peer][phase])),
    }
    if most > one:
        found["all_ours"] = Times(tuple(taken[most]["ours"][phase]))
        found["all_peers"] = Times(tuple(taken[most][peer][phase]))
    return found
