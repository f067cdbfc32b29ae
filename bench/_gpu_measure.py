# SPDX-License-Identifier: Apache-2.0
"""Samples of one case: ours and plain torch in turns, on the same GPU."""

from __future__ import annotations

import functools
import gc
import statistics
from collections.abc import Callable
from typing import Any

import torch

import mrfcore
from _gpu_cases import TINY
from _gpu_counts import TRUNCATION, chain_steps, messages
from _gpu_device import Device
from mrfcore import ops, stereo
from mrfcore.ops import reference

SAMPLES, MOST_REFERENCE_SAMPLES = 15, 3


class LayerRun:
    """Inputs of a case, and its passes by ours or by plain torch."""

    def __init__(self, case: dict[str, Any], device: Device) -> None:
        torch.manual_seed(0)
        shape = (case["batch"], case["labels"], case["height"], case["width"])
        unary = torch.rand(shape, device=device.type).to(memory_format=torch.channels_last)
        weights = torch.rand(
            case["batch"], case["connectivity"] // 2, *shape[2:], device=device.type
        )
        self.leaves = [unary.requires_grad_(), weights.requires_grad_()]
        self.pairwise: Any = mrfcore.TruncatedLinear(TRUNCATION)
        if case["potential"] == "table":
            table = torch.rand(case["labels"], case["labels"], device=device.type)
            self.pairwise = table.requires_grad_()
            self.leaves.append(self.pairwise)
        self.grad = torch.rand_like(unary)
        self.options = {name: case[name] for name in ("solver", "connectivity", "iterations")}

    def forward(self, function: Callable[..., torch.Tensor]) -> torch.Tensor:
        unary, weights = self.leaves[:2]
        return function(unary, self.pairwise, weights, **self.options)

    def backward(self, costs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(costs, self.leaves, self.grad)

    def both(self, function: Callable[..., torch.Tensor]) -> tuple[torch.Tensor, ...]:
        costs = self.forward(function)
        return (costs.detach(), *self.backward(costs))


class Patience:
    """How long the reference would take, guessed from how long it took before."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._before: tuple[float, float, float] | None = None

    def guess(self, case: dict[str, Any]) -> float | None:
        """Seconds of both passes; None if nothing is known yet."""
        if self._before is None:
            return None
        seconds, steps, pairs = self._before
        return seconds * float(max(chain_steps(case) / steps, reference_pairs(case) / pairs))

    def saw(self, case: dict[str, Any], seconds: float) -> None:
        self._before = (seconds, chain_steps(case), reference_pairs(case))

    def has(self, case: dict[str, Any]) -> bool:
        guessed = self.guess(case)
        return guessed is None or guessed <= self.limit_s


def reference_pairs(case: dict[str, Any]) -> float:
    """Plain torch looks at all pairs of labels."""
    return float(messages(case)) * case["labels"] ** 2


def warm_up(device: Device) -> None:
    """What the first passes alone take: modules that torch imports late, kernels that it loads."""
    run = LayerRun(TINY, device)
    for function in (ops.message_passing, reference.message_passing):
        run.both(function)
    release(device)


def measure_layer(
    case: dict[str, Any], device: Device, patience: Patience, samples: int = SAMPLES
) -> dict[str, Any]:
    """Times, memory, launches and agreement of one case."""
    found = measure_passes(LayerRun(case, device), case, device, patience, samples)
    release(device)
    return found


def measure_passes(
    run: LayerRun, case: dict[str, Any], device: Device, patience: Patience, samples: int
) -> dict[str, Any]:
    ours = ops.message_passing
    found: dict[str, Any] = {"peak_bytes": device.peak_bytes(lambda: run.both(ours))}
    if device.emulated or tells_of_launches(case):
        found["forward_launches_seen"] = device.launches(lambda: run.forward(ours))
        found["backward_launches_seen"] = launches_of_backward(run, device)
    plain = plain_sample(run, device, case, patience)
    times: dict[str, list[float]] = {"forward_s": [], "backward_s": []}
    more = 0 if "skipped" in plain else extra_samples(plain, patience.limit_s)
    for i in range(samples):
        one_sample(run, device, ours, times)
        if i < more:  # in turns
            one_sample(run, device, reference.message_passing, plain)
    found |= {"ours": summary(times), "reference": plain if "skipped" in plain else summary(plain)}
    if "difference" in plain:
        found["relative_difference"] = plain["difference"]
    if not device.emulated:
        found["graph"] = graph_times(run, device, samples, found["peak_bytes"])
    return found


def tells_of_launches(case: dict[str, Any]) -> bool:
    """Starting a profiler takes a second: one case of each kind, since sizes change nothing."""
    return bool(case["batch"] == 1 and case["labels"] == 32 and case["connectivity"] == 4)


def launches_of_backward(run: LayerRun, device: Device) -> int | None:
    costs = run.forward(ops.message_passing)
    return device.launches(lambda: run.backward(costs))


def one_sample(
    run: LayerRun, device: Device, function: Callable[..., torch.Tensor], to: dict[str, Any]
) -> tuple[torch.Tensor, ...]:
    """Adds the times of both passes; costs and gradients."""
    seconds, costs = device.seconds(lambda: run.forward(function))
    to["forward_s"].append(seconds)
    seconds, gradients = device.seconds(lambda: run.backward(costs))
    to["backward_s"].append(seconds)
    return (costs.detach(), *gradients)


def plain_sample(
    run: LayerRun, device: Device, case: dict[str, Any], patience: Patience
) -> dict[str, Any]:
    """The reference once, its memory, and how far ours is from it; or why not."""
    if not patience.has(case):
        return {"skipped": f"would take about {patience.guess(case):.0f} s"}
    first: dict[str, Any] = {"forward_s": [], "backward_s": []}
    kept: list[tuple[torch.Tensor, ...]] = []
    try:
        peak = device.peak_bytes(
            lambda: kept.append(one_sample(run, device, reference.message_passing, first))
        )
    except torch.OutOfMemoryError:
        release(device)
        return {"skipped": "does not fit into the GPU's memory"}
    patience.saw(case, first["forward_s"][0] + first["backward_s"][0])
    return {**first, "peak_bytes": peak, "difference": difference(run, kept.pop())}


def difference(run: LayerRun, plain: tuple[torch.Tensor, ...]) -> dict[str, float]:
    """Norm of the difference over norm, of costs and gradients."""
    found = {}
    names = ("costs", "unary", "weights", "table")
    for name, a, b in zip(names, run.both(ops.message_passing), plain, strict=False):
        distance = torch.linalg.vector_norm((a - b).double())
        found[name] = float(distance / torch.linalg.vector_norm(b.double()).clamp_min(1e-300))
    return found


def extra_samples(plain: dict[str, Any], limit_s: float) -> int:
    """More than the first, within the limit."""
    once = plain["forward_s"][0] + plain["backward_s"][0]
    return min(MOST_REFERENCE_SAMPLES - 1, int(limit_s / max(once, 1e-6)) - 1)


def graph_times(
    run: LayerRun, device: Device, samples: int, peak_bytes: int | None
) -> dict[str, Any]:
    """Ours, replayed: forward, and forward with backward. A graph has memory of its own."""
    release(device)
    if peak_bytes is not None and 2.5 * peak_bytes > torch.cuda.mem_get_info()[0]:
        return {"skipped": "memory is too small for this case and its graph"}
    try:
        forward = device.graph_seconds(lambda: run.forward(ops.message_passing), samples)
        both = device.graph_seconds(lambda: run.both(ops.message_passing), samples)
    except (RuntimeError, MemoryError) as error:
        return {"skipped": str(error).splitlines()[0][:200]}
    f, b = statistics.median(forward), statistics.median(both)
    return {"forward_s": f, "forward_and_backward_s": b, "backward_s": b - f}


def measure_minimize(case: dict[str, Any], device: Device, samples: int = 7) -> dict[str, Any]:
    """Wall clock of a call and of one more iteration; what comes back is on the GPU."""
    torch.manual_seed(0)
    shape = (case["batch"], case["height"], case["width"], case["labels"])
    unary = torch.rand(shape, device=device.type)
    pairwise: Any = mrfcore.TruncatedLinear(TRUNCATION)
    if case["potential"] == "table":
        pairwise = mrfcore.Table(torch.rand(case["labels"], case["labels"]).double().numpy())
    options = {name: case[name] for name in ("solver", "connectivity")}

    def solve(iterations: int) -> Any:
        return mrfcore.minimize(unary, pairwise, 0.5, iterations=iterations, **options)

    solve(1)
    most = case["iterations"]
    times: dict[int, list[float]] = {1: [], most: []}
    for _ in range(samples):
        for iterations, to in times.items():
            to.append(device.wall_seconds(functools.partial(solve, iterations))[0])
    found: dict[str, Any] = {
        "wall_s": statistics.median(times[most]),
        "spread": spread(times[most]),
    }
    if most > 1:
        median = statistics.median
        found["iteration_s"] = (median(times[most]) - median(times[1])) / (most - 1)
    found["launches_seen"] = device.launches(lambda: solve(most))
    release(device)
    return found


def measure_sgm(case: dict[str, Any], device: Device, samples: int = 25) -> dict[str, Any]:
    """Two byte images on the GPU to disparities; million disparity evaluations a second."""
    sgm = getattr(stereo, "sgm", None)
    if sgm is None:
        return {"skipped": "this version has no mrfcore.stereo.sgm"}
    torch.manual_seed(0)
    size = (case["height"], case["width"])
    right = torch.randint(0, 256, size, dtype=torch.uint8)
    left = right.roll(case["labels"] // 4, 1).to(device.type)
    right = right.to(device.type)

    def match() -> Any:
        return sgm(left, right, case["labels"], paths=case["paths"])

    match()
    times = [device.seconds(match)[0] for _ in range(samples)]
    wall = [device.wall_seconds(match)[0] for _ in range(samples)]
    if not device.emulated:
        graph = statistics.median(device.graph_seconds(match, samples))
    evaluations = size[0] * size[1] * case["labels"]
    return {
        **summary({"sgm_s": times, "wall_s": wall}),
        "graph_s": None if device.emulated else graph,
        "frames_per_second": 1 / statistics.median(wall),
        "million_evaluations_per_second": evaluations / statistics.median(wall) / 1e6,
        "launches_seen": device.launches(match),
    }


def summary(times: dict[str, Any]) -> dict[str, Any]:
    """Medians in place of samples, and how far samples lie from them."""
    found: dict[str, Any] = {}
    for name, samples in times.items():
        if not name.endswith("_s"):
            if name != "difference":
                found[name] = samples
            continue
        found[name] = statistics.median(samples)
        found[name.removesuffix("_s") + "_spread"] = spread(samples)
        found[name.removesuffix("_s") + "_samples"] = len(samples)
    return found


def spread(samples: list[float]) -> float:
    """Distance of the quartiles over the median."""
    if len(samples) < 4:
        return (max(samples) - min(samples)) / statistics.median(samples)
    low, _, high = statistics.quantiles(samples, n=4)
    return (high - low) / statistics.median(samples)


def release(device: Device) -> None:
    """Give memory back before the next case."""
    gc.collect()
    if not device.emulated:
        torch.cuda.empty_cache()
