# SPDX-License-Identifier: Apache-2.0
"""What a network really takes: memory and time of a forward and a backward pass."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity
from torch.utils._pytree import tree_leaves

from mrfcore.models._images import count_option
from mrfcore.pruning._accounting_inputs import make_inputs

__all__ = ["Measurement", "measure"]


@dataclass(frozen=True)
class Measurement:
    """What `measure` found; memory is beyond what was in use before, model and inputs included.

    Attributes:
        device: where it ran.
        forward_seconds, backward_seconds: medians.
        kept_bytes: in use after the forward pass: the outputs and what the backward pass needs.
        peak_bytes: the most in use at any time during both, gradients of parameters included.
    """

    device: str
    forward_seconds: float
    backward_seconds: float
    kept_bytes: int
    peak_bytes: int


def measure(
    model: nn.Module,
    inputs: Any,
    *,
    batch: int = 1,
    loss: Callable[[Any], torch.Tensor] | None = None,
    repeats: int = 3,
) -> Measurement:
    """Peak memory and time of a forward and a backward pass, which are really run.

    The model runs in the mode that it is in, once to warm up, once watched by the allocator, and
    `repeats` times against the clock. Its buffers and gradients and torch's generators are as they
    were afterwards. On the CPU, memory is what torch's allocator hands out, so that buffers within
    operators count, but not those of libraries that allocate by themselves.

    Args:
        model: with data: not on the meta device.
        inputs: as for `profile`; of shapes, standard normal numbers.
        batch: of inputs that are given as shapes, >= 1.
        loss: of what the model gives, a number; None: the mean of all squares.
        repeats: >= 1.

    Raises:
        TypeError: not a module.
        ValueError: a model on the meta device or without parameters to learn, `repeats` below 1, no
            sizes; or what the model says about such inputs.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a module, got {type(model).__name__}")
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learned:
        raise ValueError("model: expected parameters that require gradients, got none")
    device = learned[0].device
    if device.type == "meta":
        raise ValueError("model: is on the meta device, and has no data to compute with")
    times = count_option("repeats", repeats)
    with _untouched(model, device), torch.enable_grad():
        tensors = make_inputs(model, inputs, batch)
        if not _are_tensors(inputs):
            tensors = [torch.randn_like(tensor) for tensor in tensors]
        step = _Step(model, tensors, loss or _mean_of_squares, learned)
        step.run()
        memory = _cuda_memory(step, device) if device.type == "cuda" else _cpu_memory(step)
        seconds = [step.timed(device) for _ in range(times)]
    return Measurement(
        str(device),
        statistics.median(forward for forward, _ in seconds),
        statistics.median(backward for _, backward in seconds),
        *memory,
    )


class _Step:
    """One forward and one backward pass, from parameters without gradients."""

    def __init__(
        self,
        model: nn.Module,
        inputs: list[torch.Tensor],
        loss: Callable[[Any], torch.Tensor],
        learned: list[nn.Parameter],
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._loss = loss
        self._learned = learned

    def clear(self) -> None:
        for parameter in self._learned:
            parameter.grad = None

    def forward(self) -> torch.Tensor:
        return self._loss(self._model(*self._inputs))

    def run(self) -> None:
        self.clear()
        self.forward().backward()

    def timed(self, device: torch.device) -> tuple[float, float]:
        self.clear()
        start = _now(device)
        loss = self.forward()
        middle = _now(device)
        loss.backward()
        return middle - start, _now(device) - middle


def _mean_of_squares(outputs: Any) -> torch.Tensor:
    tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]
    return torch.stack([tensor.float().square().mean() for tensor in tensors]).sum()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _are_tensors(inputs: Any) -> bool:
    return isinstance(inputs, torch.Tensor) or isinstance(inputs[0], torch.Tensor)


# ---------------------------------------------------------------- memory: (kept, peak) in bytes


def _cuda_memory(step: _Step, device: torch.device) -> tuple[int, int]:
    step.clear()
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    loss = step.forward()
    kept = torch.cuda.memory_allocated(device) - before
    loss.backward()
    return kept, torch.cuda.max_memory_allocated(device) - before


def _cpu_memory(step: _Step) -> tuple[int, int]:
    step.clear()
    loss, kept, forward = _watched(step.forward)
    _, _, backward = _watched(loss.backward)
    return kept, max(forward, kept + backward)


def _watched(call: Callable[[], Any]) -> tuple[Any, int, int]:
    """(Result, bytes in use afterwards, the most in use), both beyond those before."""
    with (
        _quiet(),
        torch.profiler.profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found,
    ):
        result = call()
    events = found.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return result, now, most


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The profiler's library tells stderr that it begins and ends, unless this is set."""
    name = "KINETO_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ.setdefault(name, "6")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _untouched(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Buffers, gradients and generators as they were, whatever happens."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for parameter, gradient in gradients:
            parameter.grad = gradient
