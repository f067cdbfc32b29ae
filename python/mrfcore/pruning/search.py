# SPDX-License-Identifier: Apache-2.0
"""How much can be pruned: the largest feasible sparsity (Algorithm 6), and that for a budget."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from mrfcore._modes import evaluating
from mrfcore._scalars import _checked
from mrfcore.pruning.accounting import Profile, profile
from mrfcore.pruning.graph import Graph
from mrfcore.pruning.masks import Masks

__all__ = ["Budget", "Infeasible", "layer_resources", "max_sparsity", "measure_seconds"]

MakeMasks = Callable[[float], Masks]
_FIELDS = {"flops": "flops", "memory": "memory_elements", "parameters": "params"}
RESOURCES = tuple(_FIELDS)


class Infeasible(ValueError):  # noqa: N818 (a state of the network rather than a fault)
    """A network that would lose a whole layer, or a budget that no sparsity meets.

    Attributes:
        layers: that would keep nothing.
        largest: the largest feasible sparsity.
    """

    def __init__(self, message: str, layers: tuple[str, ...], largest: float) -> None:
        super().__init__(message)
        self.layers = layers
        self.largest = largest


@dataclass(frozen=True)
class Budget:
    """What the slim network may cost at most; what is None does not matter.

    Attributes:
        flops, memory, parameters: as `accounting.profile` counts them by the rule "thesis", for the
            inputs at hand: operations, elements of outputs, numbers in parameters.
        seconds: of a forward pass in eval mode, measured on the model's device.
    """

    flops: float | None = None
    memory: float | None = None
    parameters: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        for name in given:
            _checked(f"budget.{name}", getattr(self, name), lambda v: v > 0, "a number > 0")
        if not given:
            raise ValueError("budget: expected at least one of flops, memory, parameters, seconds")

    def exceeded(self, costs: Profile, seconds: float | None = None) -> list[str]:
        """Names of what costs more than it may."""
        found = {**{name: getattr(costs, name) for name in RESOURCES}, "seconds": seconds}
        over = []
        for name, value in found.items():
            limit = getattr(self, name)
            if limit is not None and value is not None and value > limit:
                over.append(name)
        return over


def layer_resources(
    model: torch.nn.Module, graph: Graph, inputs: Any, resource: str = "flops"
) -> dict[str, float]:
    """What each layer of the unpruned network costs: tau of (5.10).

    Args:
        model: what the graph was traced from.
        graph: of `trace`.
        inputs: a tensor or several, of the size that it will be trained at.
        resource: "flops", "memory" (the layer's output, (5.12b)) or "parameters".

    Raises:
        ValueError: another resource, or layers that are not modules of their own.
    """
    if resource not in _FIELDS:
        raise ValueError(f"resource: expected one of {', '.join(_FIELDS)}, got {resource!r}")
    tensors = list(inputs) if isinstance(inputs, tuple) else [inputs]
    costs = {row.name: row for row in profile(model, tensors, rule="thesis").layers}
    found: dict[str, float] = {}
    for layer in graph.layers:
        if layer.name not in costs:
            raise ValueError(f"model: {layer.name} is no module whose cost can be counted")
        found[layer.name] = float(getattr(costs[layer.name], _FIELDS[resource]))
    return found


def max_sparsity(
    make: MakeMasks,
    good: Callable[[Masks], bool] | None = None,
    *,
    tolerance: float = 1e-4,
) -> float:
    """The largest sparsity at which the network keeps a neuron of each layer, by bisection.

    Algorithm 6, which probes masks of scores that are there already, and returns the last feasible
    sparsity rather than the last one tried. Masks of one set of scores are nested, so that what is
    feasible is an interval.

    Args:
        make: gives consistent masks for a sparsity.
        good: whether masks will do; None: all layers keep something.
        tolerance: of the result, > 0.

    Returns:
        a sparsity that was tried and is feasible; 0 is taken to be.

    Raises:
        ValueError: a tolerance that is not positive.
    """
    _checked("tolerance", tolerance, lambda v: v > 0, "a number > 0")
    low, high = 0.0, 1.0
    while high - low > tolerance:
        middle = 0.5 * (low + high)
        masks = make(middle)
        if good(masks) if good is not None else not _gone(masks):
            low = middle
        else:
            high = middle
    return low


def least_sparsity(
    fits: Callable[[float], bool], largest: float, *, tolerance: float = 1e-4
) -> float | None:
    """The smallest sparsity up to `largest` that fits, by bisection; None: not even that one."""
    if fits(0.0):
        return 0.0
    if not fits(largest):
        return None
    low, high = 0.0, largest
    while high - low > tolerance:
        middle = 0.5 * (low + high)
        if fits(middle):
            high = middle
        else:
            low = middle
    return high


def measure_seconds(model: torch.nn.Module, inputs: Any, *, runs: int = 5) -> float:
    """Median time of a forward pass in eval mode, after one that does not count."""
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    times = []
    with evaluating(model), torch.no_grad():
        for _ in range(runs + 1):
            _wait(arguments)
            start = time.perf_counter()
            model(*arguments)
            _wait(arguments)
            times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _wait(arguments: Any) -> None:
    """A GPU runs behind."""
    if any(isinstance(x, torch.Tensor) and x.is_cuda for x in arguments):
        torch.cuda.synchronize()


def _gone(masks: Mapping[str, torch.Tensor]) -> bool:
    return any(not mask.any() for mask in masks.values())
