# SPDX-License-Identifier: Apache-2.0
"""From a chain of maps to the weights of layers with activations between (Eq 4.8-4.10)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mrfcore.nn._transparent_chain import AffineMap, transparent_chain
from mrfcore.nn.pair_activation import PairActivation, check_pairable, odd_slope

__all__ = ["Junction", "draw", "join", "write"]


@dataclass(frozen=True, eq=False)
class Junction:
    """What stands between two layers."""

    module: nn.Module | None
    """The activation; None: nothing, and the channels are not doubled."""
    slope: Tensor | None
    """c of Eq 4.11 for each of the m channels, float64; None: nothing is doubled."""


def join(module: nn.Module | None, width: int, dims: int, form: str = "auto") -> Junction:
    """An activation behind `width` channels (not doubled), made a pair if need be.

    Raises:
        ValueError: not in the form wanted; what `odd_slope` says.
    """
    if module is None:
        return Junction(None, None)
    ones = torch.ones(width, dtype=torch.float64, device="cpu")
    dim = 1 if dims else -1
    if isinstance(module, PairActivation):
        if module.dim != dim:
            what = "convolutions" if dims else "nn.Linear"
            raise ValueError(
                f"activation: expected a PairActivation with dim={dim} behind {what}, got "
                f"dim={module.dim}"
            )
        return Junction(module, ones)
    slope = None if form == "see_through" else odd_slope(module, 2 * width, dims)
    name = type(module).__name__
    if slope is None:
        if form == "duplicate":
            raise ValueError(
                f"form: {name} has no c with s(x) - s(-x) = c x for all x; "
                f"PairActivation({name}()) can be seen through"
            )
        check_pairable(module, width, dims)
        return Junction(PairActivation(module, dim), ones)
    first, second = slope.chunk(2)
    if not torch.allclose(first, second, rtol=1e-6, atol=0):
        raise ValueError(
            f"activation: {name} treats the two halves of the channels differently; y and -y must "
            "meet the same function"
        )
    return Junction(module, first)


def draw(
    widths: Sequence[int],
    kernels: Sequence[tuple[int, ...]],
    slopes: Sequence[Tensor | None],
    *,
    orthogonal: bool,
    biases: Sequence[bool],
    generator: torch.Generator | None,
) -> tuple[list[AffineMap], float]:
    """The maps of all layers, pairs of channels where an activation stands; the condition.

    The rest as `transparent_chain`; `slopes` are those of the junctions.
    """
    maps, condition = transparent_chain(
        widths, kernels, orthogonal=orthogonal, biases=biases, generator=generator
    )
    behind, before = [*slopes, None], [None, *slopes]
    return [_paired(*parts) for parts in zip(maps, before, behind, strict=True)], condition


def _paired(map_: AffineMap, before: Tensor | None, behind: Tensor | None) -> AffineMap:
    """[A, -A] for y and -y (D of Eq 4.5), and rows [A / c; -A / c] that subtract pairs (S)."""
    weight, bias = map_.weight, map_.bias
    if behind is not None:
        weight, bias = torch.cat([weight, -weight], -1), torch.cat([bias, -bias])
    if before is not None:
        weight = weight / before[:, None]
        weight = torch.cat([weight, -weight], -2)
    return dataclasses.replace(map_, weight=weight, bias=bias)


def write(layers: Iterable[Any], maps: Sequence[AffineMap]) -> None:
    """Set the parameters of `nn.Linear` and convolutions."""
    with torch.no_grad():
        for layer, map_ in zip(layers, maps, strict=True):
            order = (-1, -2, *range(map_.weight.dim() - 2))  # torch's: out, in, kernel
            layer.weight.copy_(map_.weight.permute(order))
            if layer.bias is not None:
                layer.bias.copy_(map_.bias)
