# SPDX-License-Identifier: Apache-2.0
"""The layers of a model, as the accounts list them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _MaxPoolNd,
)

__all__ = ["AVERAGES", "NORMS", "Cost", "Kind", "Part", "kind_of", "parts_of"]

Kind = Literal["conv", "deconv", "linear", "norm", "activation", "pool", "other"]

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
AVERAGES = (_AvgPoolNd, _AdaptiveAvgPoolNd)
_POOLS = (*AVERAGES, _MaxPoolNd, _AdaptiveMaxPoolNd)
_SOFTMAXES = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin)


@dataclass
class Cost:
    """Operations, and memory as numbers of 4 bytes."""

    flops: int = 0
    memory: int = 0


@dataclass(frozen=True)
class Part:
    """A module that has a row of its own.

    Attributes:
        module: the module.
        layer: it is accounted for as a whole; otherwise only for what it does besides its parts.
        own_parameters: of a layer all, otherwise those that it has itself.
    """

    module: nn.Module
    layer: bool
    own_parameters: tuple[nn.Parameter, ...]


def kind_of(module: nn.Module) -> Kind:
    """What a module is."""
    if isinstance(module, _ConvTransposeNd):
        return "deconv"
    if isinstance(module, _ConvNd):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, NORMS):
        return "norm"
    if isinstance(module, _POOLS):
        return "pool"
    if isinstance(module, _SOFTMAXES) or _is_activation(module):
        return "activation"
    return "other"


def parts_of(model: nn.Module) -> Iterator[tuple[str, Part]]:
    """Every module once, by the first of its names, but none inside a layer.

    A layer is a module without parts, or of a kind that is known: a convolution with a
    parametrised weight is one, and what makes its weight is not.
    """
    inside: set[int] = set()
    for name, module in model.named_modules():
        if id(module) in inside:
            continue
        layer = kind_of(module) != "other" or next(module.children(), None) is None
        if layer:
            inside.update(id(part) for part in module.modules() if part is not module)
        yield name, Part(module, layer, tuple(module.parameters(recurse=layer)))


def _is_activation(module: nn.Module) -> bool:
    """Torch's own; a subclass of such is one too."""
    return any(
        cls.__module__ == "torch.nn.modules.activation" for cls in type(module).__mro__
    ) and (not isinstance(module, nn.MultiheadAttention))
