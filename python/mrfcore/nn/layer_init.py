# SPDX-License-Identifier: Apache-2.0
"""The initialisations that transparent ones are compared with (Table 4.2 of Xu's thesis, 2022)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import torch
from torch import nn

__all__ = [
    "AFFINE",
    "Modules",
    "layer_sizes",
    "net2net_init_",
    "random_init_",
    "xavier_init_",
]

Modules: TypeAlias = nn.Module | Iterable[nn.Module]
AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def layer_sizes(layer: Any) -> tuple[int, int]:
    """Inputs and outputs of a layer."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels


def _layers(modules: Modules) -> list[tuple[str, Any]]:
    """However deep they lie."""
    if isinstance(modules, nn.Module):
        modules = [modules]
    found = [
        (f"modules[{number}]" + (f".{name}" if name else ""), m)
        for number, module in enumerate(modules)
        for name, m in module.named_modules()
        if isinstance(m, AFFINE)
    ]
    if not found:
        raise ValueError("modules: expected nn.Linear or convolutions among them, found none")
    return found


@torch.no_grad()
def random_init_(modules: Modules, *, generator: torch.Generator | None = None) -> None:
    """Weights uniform in [0, 1), biases 0: "Random" of Table 4.2.

    Args:
        modules: a module or a list; all `nn.Linear` and convolutions in it are changed.
        generator: of the random numbers. None: torch's.
    """
    for _, layer in _layers(modules):
        layer.weight.uniform_(generator=generator)
        _no_bias(layer)


@torch.no_grad()
def xavier_init_(modules: Modules, *, generator: torch.Generator | None = None) -> None:
    """Normal weights of variance 2 / (inputs + outputs), biases 0: "Xavier" of Table 4.2.

    Args:
        modules: a module or a list; all `nn.Linear` and convolutions in it are changed.
        generator: of the random numbers. None: torch's.
    """
    for _, layer in _layers(modules):
        nn.init.xavier_normal_(layer.weight, generator=generator)
        _no_bias(layer)


@torch.no_grad()
def net2net_init_(modules: Modules) -> None:
    """Identity matrices, biases 0: "Net2Net" of Table 4.2 (Chen et al. 2016). ReLU loses x < 0.

    Args:
        modules: a module or a list; all `nn.Linear` and convolutions in it are changed.

    Raises:
        ValueError: a layer with another number of outputs than inputs; nothing is changed.
    """
    layers = _layers(modules)
    for name, layer in layers:
        incoming, outgoing = layer_sizes(layer)
        if incoming != outgoing or getattr(layer, "groups", 1) != 1:
            raise ValueError(
                f"{name}: expected as many outputs as inputs and one group, got {incoming} to "
                f"{outgoing}; transparent_init_ takes such layers"
            )
    for _, layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.eye_(layer.weight)
        else:
            nn.init.dirac_(layer.weight)
        _no_bias(layer)


def _no_bias(layer: Any) -> None:
    if layer.bias is not None:
        layer.bias.zero_()
