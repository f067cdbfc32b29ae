# SPDX-License-Identifier: Apache-2.0
"""What passes over a volume once: energy, lower bound, cost volumes; against bandwidth and torch.

    python bench/volumes.py [--quick]

Bounds count bytes: of the energy one line of 64 bytes per pixel (a label's cost), of the lower
bound the running sum and two messages per pair of directions, of a cost volume the result. The
lower bound is the difference of two calls of `minimize`, with and without; a call makes one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import mrfcore
from _measure import Samples, calls_for, clock_of, fields, interleave, timed
from _part import Case, Found, Part, Run
from _rows import Row, Times
from mrfcore import stereo

TRUNCATION, WEIGHT = 8.0, 10.0


def cases(run: Run) -> Iterator[Case]:
    height, width = (128, 256) if run.quick else (256, 512)
    for labels in (32,) if run.quick else (32, 96):
        size = {"height": height, "width": width, "labels": labels}
        yield {"what": "energy", **size}
        yield {"what": "lower bound", **size}
        for cost in stereo.COSTS:
            yield {"what": cost, **size}


def measure(case: Case, run: Run) -> Found:
    """One row."""
    maker = {"energy": energy_of, "lower bound": bound_of}.get(case["what"], volume_of)
    forms, moved, peer = maker(case)
    taken: dict[int, Samples] = {}
    for threads in run.thread_counts:
        set_torch_threads(threads)
        calls = calls_for(lambda t=threads: forms["ours"](t))
        sides = {
            name: timed(lambda f=f, t=threads: f(t), clock_of(threads), calls)
            for name, f in forms.items()
        }
        taken[threads] = interleave(sides, run.rounds(9))
    if "without" in forms:  # what remains is the part that is asked about
        for samples in taken.values():
            with_it, without = samples["ours"]["call"], samples.pop("without")["call"]
            least = min(without)
            samples["ours"]["call"] = [max(s - least, 1e-9) for s in with_it]
    bound = run.ceilings.bound(moved_bytes=moved)
    row = Row(
        case["what"] if case["what"] in ("energy", "lower bound") else f"cost {case['what']}",
        f"{case['height']}x{case['width']}x{case['labels']}",
        bound_s=bound.seconds,
        bound_by=bound.by,
        peer=peer,
        **(fields(taken, "peer") if peer else alone(taken)),
    )
    return {**case, "bytes": moved, "seconds": taken}, [row]


def alone(taken: dict[int, Samples]) -> dict[str, Times]:
    """As `fields`, without a peer."""
    found = fields({t: {**s, "nobody": s["ours"]} for t, s in taken.items()}, "nobody")
    return {name: times for name, times in found.items() if name in ("ours", "all_ours")}


def set_torch_threads(threads: int) -> None:
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)


Forms = tuple[dict[str, Callable[[int], Any]], float, str]  # sides, bytes, the peer's name


def problem(case: Case) -> tuple[Any, Any]:
    """Unaries and labels."""
    random = np.random.default_rng(0)
    shape = (case["height"], case["width"], case["labels"])
    unary = random.random(shape, dtype=np.float32) * 60
    return unary, np.argmin(unary, axis=2).astype(np.int32)


def energy_of(case: Case) -> Forms:
    """Beside the same in plain torch."""
    unary, labels = problem(case)
    v = mrfcore.TruncatedLinear(TRUNCATION)
    pixels = case["height"] * case["width"]
    moved = pixels * (4 + min(64, 4 * case["labels"]))
    forms = {"ours": lambda t: mrfcore.energy(labels, unary, v, WEIGHT, threads=t)}
    try:
        import torch
    except ImportError:
        return forms, moved, ""
    costs, chosen = torch.from_numpy(unary), torch.from_numpy(labels).long()

    def plain(_: int) -> float:
        data = costs.gather(2, chosen[..., None]).double().sum()
        down = (chosen[1:] - chosen[:-1]).abs().clamp(max=int(TRUNCATION)).sum()
        right = (chosen[:, 1:] - chosen[:, :-1]).abs().clamp(max=int(TRUNCATION)).sum()
        return float(data + WEIGHT * (down + right))

    np.testing.assert_allclose(forms["ours"](1), plain(1), rtol=1e-6)
    return {**forms, "peer": plain}, moved, "torch gather"


def bound_of(case: Case) -> Forms:
    """The chains' bound after one iteration of TRWP."""
    unary, _ = problem(case)
    v = mrfcore.TruncatedLinear(TRUNCATION)

    def call(threads: int, lower_bound: bool) -> Any:
        options = {"iterations": 1, "threads": threads, "lower_bound": lower_bound}
        return mrfcore.minimize(unary, v, WEIGHT, **options)

    forms = {"ours": lambda t: call(t, True), "without": lambda t: call(t, False)}
    return forms, 6 * 4 * unary.size, ""


def volume_of(case: Case) -> Forms:
    """A matching cost; the absolute difference beside plain torch."""
    random = np.random.default_rng(0)
    shape = (case["height"], case["width"], 3)
    left, right = (random.integers(0, 256, shape, dtype=np.uint8) for _ in range(2))
    cost, labels = case["what"], case["labels"]
    forms: dict[str, Callable[[int], Any]] = {
        "ours": lambda t: stereo.cost_volume(left, right, labels, cost, threads=t)
    }
    moved = 4 * case["height"] * case["width"] * labels
    if cost != "absolute":
        return forms, moved, ""
    try:
        import torch
    except ImportError:
        return forms, moved, ""
    images = [torch.from_numpy(i).float() for i in (left, right)]

    def plain(_: int) -> Any:
        volume = torch.full((*shape[:2], labels), 255.0 * 3)
        for d in range(labels):
            difference = images[0][:, d:] - images[1][:, : shape[1] - d]
            volume[:, d:, d] = difference.abs().sum(2)
        return volume

    np.testing.assert_array_equal(forms["ours"](1), plain(1).numpy())
    return {**forms, "peer": plain}, moved, "torch loop"


PART = Part("volumes", cases, measure)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
