# SPDX-License-Identifier: Apache-2.0
"""The rule behind the printed tables of RANP: multiply-adds and outputs, module by module."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves

from mrfcore.pruning._accounting_parts import AVERAGES, NORMS, Cost, Part, kind_of, parts_of

__all__ = ["thesis_costs"]


def thesis_costs(
    model: nn.Module, inputs: Sequence[torch.Tensor]
) -> tuple[dict[str, Cost], list[str]]:
    """By name of the layer; and names of those with weights that are not counted.

    Args:
        model: in eval mode.
        inputs: that fit it, and have no data.
    """
    costs: dict[str, Cost] = {}
    weights: dict[str, bool] = {}  # of layers that have any: whether there is a rule for them
    called: set[str] = set()
    handles = []
    try:
        for name, part in parts_of(model):
            if part.own_parameters:
                weights[name] = _has_rule(part)
            if part.layer:
                add = _adder(costs.setdefault(name, Cost()), partial(called.add, name))
                handles.append(part.module.register_forward_hook(add, with_kwargs=True))
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return costs, [name for name, known in weights.items() if not known or name not in called]


def _adder(cost: Cost, call: Callable[[], None]) -> Any:
    def add(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        call()
        given, tensors = _tensors((args, kwargs)), _tensors(result)
        cost.memory += sum(tensor.numel() for tensor in tensors)
        if given and tensors:
            cost.flops += _operations(module, given[0], tensors[0])

    return add


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _has_rule(part: Part) -> bool:
    # An activation's parameters, as PReLU's, work on what counts no operations.
    return part.layer and kind_of(part.module) != "other"


def _operations(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> int:
    if isinstance(module, _ConvNd):  # transposed ones too: f_in / groups products of each *output*
        products = module.in_channels // module.groups * math.prod(module.kernel_size)
        return y.numel() * (products + (module.bias is not None))
    if isinstance(module, nn.Linear):
        return y.numel() * (2 * module.in_features - 1 + (module.bias is not None))
    if isinstance(module, NORMS):
        return 4 * x.numel()
    if isinstance(module, AVERAGES):
        return y.numel() * (_window(module, x, y) + 1)
    if isinstance(module, nn.Softmax):
        # It sees an item as its C channels, wherever they are.
        return x.shape[0] * (3 * x.shape[1] - 1) if x.dim() > 1 else 0
    return 0


def _window(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> int:
    size: Any = getattr(module, "kernel_size", None)
    if size is None:  # adaptive
        return math.prod(n // m for n, m in zip(x.shape[2:], y.shape[2:], strict=True))
    return int(math.prod(size) if isinstance(size, tuple) else size ** (x.dim() - 2))
