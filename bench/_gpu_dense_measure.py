# SPDX-License-Identifier: Apache-2.0
"""Samples of a dense operator's case: ours and, where there is one, plain torch on the same GPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

import mrfcore
from _gpu_device import Device
from _gpu_measure import extra_samples, release, summary
from mrfcore.nn import functional
from mrfcore.ops import (
    filter_flow_reference,
    mean_shift_reference,
    pairwise_margin_reference,
    soft_superpixel_reference,
    superpixel_reference,
)

Form = Callable[..., Any]  # of leaves: a tensor
KAPPA = 36.0


class DenseRun:
    """Inputs of a case, and its passes by ours or by plain torch."""

    def __init__(self, case: dict[str, Any], device: Device) -> None:
        torch.manual_seed(0)
        self.leaves, self.ours, self.plain = _MAKERS[case["operator"]](case, device.type)
        for leaf in self.leaves:
            leaf.requires_grad_(leaf.is_floating_point())
        self.differentiable = any(leaf.requires_grad for leaf in self.leaves)
        self._grad: torch.Tensor | None = None

    def forward(self, form: Form) -> torch.Tensor:
        result: torch.Tensor = form(*self.leaves)
        return result

    def backward(self, result: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self._grad is None:
            self._grad = torch.rand_like(result)
        wanted = [leaf for leaf in self.leaves if leaf.requires_grad]
        return torch.autograd.grad(result, wanted, self._grad)

    def both(self, form: Form) -> tuple[torch.Tensor, ...]:
        result = self.forward(form)
        return (result.detach(), *(self.backward(result) if self.differentiable else ()))


def measure_dense(
    case: dict[str, Any], device: Device, limit_s: float, samples: int
) -> dict[str, Any]:
    """Times, memory, launches and agreement of one case."""
    run = DenseRun(case, device)
    run.both(run.ours)
    found: dict[str, Any] = {"peak_bytes": device.peak_bytes(lambda: run.both(run.ours))}
    found["launches_seen"] = device.launches(lambda: run.both(run.ours))
    plain, more = plain_sample(run, device, limit_s)
    times: dict[str, Any] = {}
    for i in range(samples):
        one_sample(run, device, run.ours, times)
        if i < more:  # in turns
            one_sample(run, device, run.plain, plain)
    found |= {"ours": summary(times), "reference": plain if "skipped" in plain else summary(plain)}
    if "difference" in plain:
        found["relative_difference"] = plain["difference"]
    if not device.emulated:
        found["graph"] = graph_times(run, case, device, samples)
    release(device)
    return found


def one_sample(
    run: DenseRun, device: Device, form: Form | None, to: dict[str, Any]
) -> tuple[torch.Tensor, ...]:
    """Adds the times of the passes; the result and its gradients."""
    assert form is not None
    seconds, result = device.seconds(lambda: run.forward(form))
    to.setdefault("forward_s", []).append(seconds)
    if not run.differentiable:
        return (result.detach(),)
    seconds, gradients = device.seconds(lambda: run.backward(result))
    to.setdefault("backward_s", []).append(seconds)
    return (result.detach(), *gradients)


def plain_sample(run: DenseRun, device: Device, limit_s: float) -> tuple[dict[str, Any], int]:
    """The reference once and how far ours is from it, or why not; how many more to take."""
    if run.plain is None:
        return {"skipped": "plain torch has no form of it"}, 0
    first: dict[str, Any] = {}
    kept: list[tuple[torch.Tensor, ...]] = []
    try:
        peak = device.peak_bytes(lambda: kept.append(one_sample(run, device, run.plain, first)))
    except torch.OutOfMemoryError:
        release(device)
        return {"skipped": "does not fit into the GPU's memory"}, 0
    more = max(extra_samples({"backward_s": [0.0], **first}, limit_s), 0)
    return {**first, "peak_bytes": peak, "difference": difference(run, kept.pop())}, more


def difference(run: DenseRun, plain: tuple[torch.Tensor, ...]) -> list[float]:
    """Norm of the difference over norm, of the result and of each gradient."""
    found = []
    for a, b in zip(run.both(run.ours), plain, strict=True):
        distance = torch.linalg.vector_norm((a - b).double())
        found.append(float(distance / torch.linalg.vector_norm(b.double()).clamp_min(1e-300)))
    return found


def graph_times(
    run: DenseRun, case: dict[str, Any], device: Device, samples: int
) -> dict[str, Any]:
    """Ours, replayed: forward, and forward with backward."""
    release(device)
    if case["operator"] == "mean_shift_filter":
        samples = min(samples, 5)
    try:
        forward = statistics.median(device.graph_seconds(lambda: run.forward(run.ours), samples))
        if not run.differentiable:
            return {"forward_s": forward}
        both = statistics.median(device.graph_seconds(lambda: run.both(run.ours), samples))
    except (RuntimeError, MemoryError) as error:
        return {"skipped": str(error).splitlines()[0][:200]}
    return {"forward_s": forward, "forward_and_backward_s": both, "backward_s": both - forward}


# ---------------------------------------------------------------- (leaves, ours, plain torch)

Made = tuple[list[torch.Tensor], Form, Form | None]


def image_of(case: dict[str, Any], device: str) -> torch.Tensor:
    shape = (case["batch"], case["channels"], case["height"], case["width"])
    return torch.rand(shape, device=device)


def _filter_flow(case: dict[str, Any], device: str) -> Made:
    image = image_of(case, device)
    filters = torch.randn(case["batch"], case["side"] ** 2, *image.shape[2:], device=device)
    how = "softmax" if case["softmax"] else None
    return (
        [image, filters],
        lambda x, w: functional.filter_flow(x, w, how),
        lambda x, w: filter_flow_reference.filter_flow(x, w, how),
    )


def _warp(case: dict[str, Any], device: str) -> Made:
    """By smooth flows, as optical flow is."""
    image = image_of(case, device)
    y = torch.arange(case["height"], dtype=torch.float32, device=device)[:, None]
    x = torch.arange(case["width"], dtype=torch.float32, device=device)
    waves = torch.stack([5 * torch.sin(y / 31) + x / 50, 4 * torch.cos(x / 23) + 0 * y])
    flow = waves.expand(case["batch"], *waves.shape).clone()
    scale = torch.tensor([2 / max(s - 1, 1) for s in (case["width"], case["height"])])

    def sampled(image: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        at = torch.stack([x + flow[:, 0], y + flow[:, 1]], -1) * scale.to(device) - 1
        return torch.nn.functional.grid_sample(image, at, align_corners=True)

    return [image, flow], functional.warp, sampled


def grid_ids(case: dict[str, Any], device: str) -> torch.Tensor:
    """Cells of a grid, as superpixels are, with rough borders."""
    side = round(case["superpixels"] ** 0.5)
    size = (case["batch"], case["height"], case["width"])
    y = torch.arange(size[1]) * side / size[1]
    x = torch.arange(size[2]) * side / size[2]
    rough = 0.2 * torch.rand(2, *size)
    row = (y[:, None] + rough[0]).long().clamp(max=side - 1)
    column = (x + rough[1]).long().clamp(max=side - 1)
    return (row * side + column).to(device)


def _superpixel_pool(case: dict[str, Any], device: str) -> Made:
    ids, num = grid_ids(case, device), case["superpixels"]
    return (
        [image_of(case, device)],
        lambda x: functional.superpixel_pool(x, ids, num),
        lambda x: superpixel_reference.superpixel_pool(x, ids, num),
    )


def _consistency(case: dict[str, Any], device: str) -> Made:
    ids = grid_ids(case, device)
    return (
        [image_of(case, device)],
        lambda x: functional.logit_consistency(x, ids),
        lambda x: superpixel_reference.logit_consistency(x, ids),
    )


def _soft_superpixel(case: dict[str, Any], device: str) -> Made:
    x, cell = image_of(case, device), case["cell"]
    q = torch.softmax(torch.randn(x.shape[0], 9, *x.shape[2:], device=device), 1)

    def ours(x: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        means = functional.soft_superpixel_pool(x, q, cell)
        return functional.soft_superpixel_unpool(means, q, cell)

    def plain(x: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        with torch.device(device):  # where it makes its numbers of cells
            means = soft_superpixel_reference.soft_superpixel_pool(x, q, cell)
            return soft_superpixel_reference.soft_superpixel_unpool(means, q, cell)

    return [x, q], ours, plain


def points_of(case: dict[str, Any], device: str) -> torch.Tensor:
    return torch.randn(case["batch"], case["channels"], case["points"], device=device)


def _mean_shift(case: dict[str, Any], device: str) -> Made:
    steps = case["steps"]
    return (
        [points_of(case, device)],
        lambda x: functional.mean_shift(x, KAPPA, steps),
        lambda x: mean_shift_reference.mean_shift(x, KAPPA, steps),
    )


def _pairwise_margin(case: dict[str, Any], device: str) -> Made:
    labels = torch.randint(0, 8, (case["batch"], case["points"]), device=device)
    return (
        [points_of(case, device)],
        lambda x: functional.pairwise_margin_loss(x, labels),
        lambda x: pairwise_margin_reference.pairwise_margin_loss(x, labels).mean(),
    )


def _bytes(case: dict[str, Any], device: str) -> torch.Tensor:
    """Pictures with something to follow: waves and noise."""
    noise = image_of(case, device)
    y = torch.arange(case["height"], device=device)[:, None]
    waves = torch.sin(y / 23) + torch.cos((torch.arange(case["width"], device=device) + y) / 31)
    return (60 * waves + 120 + 15 * noise).to(torch.uint8)


def _slic(case: dict[str, Any], device: str) -> Made:
    num = max(1, case["height"] * case["width"] // 700)
    return (
        [_bytes(case, device)],
        lambda x: functional.slic(x, num, iterations=case["iterations"]),
        None,
    )


def _mean_shift_filter(case: dict[str, Any], device: str) -> Made:
    radius = case["radius"]
    return [_bytes(case, device)], lambda x: mrfcore.mean_shift_filter(x, radius, 20.0), None


_MAKERS: dict[str, Callable[[dict[str, Any], str], Made]] = {
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
