# SPDX-License-Identifier: Apache-2.0
"""The rule behind the printed tables of RANP: multiply-adds and outputs, module by module."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    """By name of the layer; and names of those with parameters whose operations it has no rule for.

    Args:
        model: in eval mode.
        inputs: that fit it, and have no data.
    """
    costs: dict[str, Cost] = {}
    unknown: list[str] = []
    handles = []
    try:
        for name, part in parts_of(model):
            if part.own_parameters and not _has_rule(part):
                unknown.append(name)
            if part.layer:
                cost = costs.setdefault(name, Cost())
                handles.append(part.module.register_forward_hook(_adder(cost)))
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return costs, unknown


def _adder(cost: Cost) -> Any:
    def add(module: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        cost.memory += sum(tensor.numel() for tensor in tensors)
        if given and tensors and isinstance(given[0], torch.Tensor):
            cost.flops += _operations(module, given[0], tensors[0])

    return add


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
