# SPDX-License-Identifier: Apache-2.0
"""Transparent initialisation of layers that somebody else made."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mrfcore._scalars import _choice
from mrfcore.nn._full_precision import full_precision
from mrfcore.nn._transparent_plan import Junction, draw, join, write
from mrfcore.nn.layer_init import AFFINE, Modules, layer_sizes
from mrfcore.nn.pair_activation import PairActivation, activation_of
from mrfcore.nn.transparent import TransparentSequence

__all__ = ["Transparency", "transparent_init_"]

_LOSSY: tuple[Any, ...] = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.dropout._DropoutNd,
    nn.modules.conv._ConvTransposeNd,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._LPPoolNd,
    nn.Upsample,
    nn.Flatten,
)


@dataclass(frozen=True)
class Transparency:
    """What `transparent_init_` has made.

    Attributes:
        condition: of the product of all layers but the last; errors in float32 grow with it.
        exact_margin: pixels along the border, for each dimension, where the output is not the input
            because layers with larger kernels see padding there; 0 with circular padding.
    """

    condition: float
    exact_margin: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Place:
    """A layer, its name in messages, and the activation in front of it."""

    layer: Any
    name: str
    activation: nn.Module | None


def transparent_init_(
    modules: Modules,
    activation: str | nn.Module | None = None,
    *,
    weights: str = "normal",
    generator: torch.Generator | None = None,
) -> Transparency:
    """Give layers dense random weights with which their output is their input.

    As `TransparentSequence`, for layers that exist: two or more `nn.Linear` or convolutions of
    stride 1, one after the other. Hidden layers in front of an activation need twice as many
    outputs, and at least twice as many as there are inputs: one half makes y, the other -y.

    Args:
        modules: an `nn.Sequential` or a list of layers with the activations between them. Nested
            sequences and `nn.Identity` are seen through.
        activation: between all layers, a name or a module as for `TransparentSequence`, where
            `modules` lists the layers only.
        weights: "normal" or "orthogonal", as there. Kernels larger than 1 are always orthogonal;
            they must be odd, with padding dilation (kernel_size - 1) / 2.
        generator: of the random numbers (a CPU generator). None: torch's.

    Returns:
        How exact it is.

    Raises:
        ValueError: layers that cannot be transparent; the message names the layer and says why.
            All layers are as they were.
        TypeError: not modules.
    """
    _choice("weights", weights, ("normal", "orthogonal"))
    if isinstance(modules, TransparentSequence):
        modules.reset_parameters(generator)
        return Transparency(modules.condition, modules.exact_margin)
    places = _places(modules, activation)
    _check_plain(places)
    kernels = _check_geometry(places)
    junctions, widths = _junctions(places, len(kernels[0]))
    layers = [place.layer for place in places]
    maps, condition = draw(
        widths,
        kernels,
        [junction.slope for junction in junctions],
        orthogonal=weights == "orthogonal",
        biases=[layer.bias is not None for layer in layers],
        generator=generator,
    )
    before = [p.detach().clone() for layer in layers for p in layer.parameters()]
    write(layers, maps)
    sides = [[0] * len(kernels[0]) if _circular(layers) else _reach(layer) for layer in layers[1:]]
    margin = tuple(sum(side) for side in zip(*sides, strict=True))
    _verify(places, [junction.module for junction in junctions], margin, condition, before)
    return Transparency(condition, margin)


# ---------------------------------------------------------------- reading the layers


def _flat(modules: Modules, name: str) -> Iterator[tuple[str, nn.Module]]:
    # Not children(), which leaves out the second use of an activation that is shared.
    children = enumerate(modules._modules.values() if isinstance(modules, nn.Module) else modules)
    for number, module in children:
        inner = f"{name}[{number}]"
        if not isinstance(module, nn.Module):
            raise TypeError(f"{inner}: expected a module, got {type(module).__name__}")
        if isinstance(module, (nn.Sequential, nn.ModuleList)):
            yield from _flat(module, inner)
        elif not isinstance(module, nn.Identity):
            yield inner, module


def _places(modules: Modules, activation: str | nn.Module | None) -> list[_Place]:
    if isinstance(modules, nn.Module) and not isinstance(modules, (nn.Sequential, nn.ModuleList)):
        raise TypeError(
            f"modules: expected an nn.Sequential or a list of layers, got {type(modules).__name__}"
        )
    places: list[_Place] = []
    pending: list[tuple[str, nn.Module]] = []
    for name, module in _flat(modules, "modules"):
        if not isinstance(module, AFFINE):
            _check_activation(name, module, first=not places, pending=pending)
            pending.append((name, module))
            continue
        if pending and activation is not None:
            raise ValueError(f"activation: expected None, for {pending[0][0]} is an activation")
        between = pending[0][1] if pending else activation_of(activation)
        places.append(_Place(module, name, between if places else None))
        pending.clear()
    if pending:
        raise ValueError(f"{pending[0][0]}: an activation behind the last layer cannot be undone")
    if len(places) < 2:
        raise ValueError(f"modules: expected two layers or more, got {len(places)}")
    return places


def _check_activation(
    name: str, module: nn.Module, *, first: bool, pending: list[tuple[str, nn.Module]]
) -> None:
    kind = type(module).__name__
    if isinstance(module, _LOSSY):
        raise ValueError(f"{name}: {kind} cannot be made transparent; leave it out")
    if first:
        raise ValueError(f"{name}: {kind} in front of the first layer cannot be undone")
    if pending:
        raise ValueError(f"{name}: {kind} directly behind the activation {pending[0][0]}")


def _check_plain(places: list[_Place]) -> None:
    """Refuse layers whose weights are made of others, for then writing them changes nothing."""
    seen: dict[int, str] = {}
    for place in places:
        layer = place.layer
        if torch.nn.utils.parametrize.is_parametrized(layer) or "weight" not in layer._parameters:
            raise ValueError(
                f"{place.name}: its weight is computed from others (weight norm, pruning, a "
                "parametrisation); remove that first"
            )
        key = layer.weight.data_ptr() if layer.weight.numel() else id(layer.weight)
        if not layer.weight.is_meta and seen.setdefault(key, place.name) != place.name:
            raise ValueError(f"{place.name}: shares its weight with {seen[key]}")


@torch.no_grad()
def _verify(
    places: list[_Place],
    activations: list[nn.Module | None],
    margin: tuple[int, ...],
    condition: float,
    before: list[torch.Tensor],
) -> None:
    """Run the layers on random values; put the old weights back where it is not the identity."""
    first = places[0].layer
    if first.weight.is_meta or first.weight.dtype not in (torch.float32, torch.float64):
        return
    size = (2, layer_sizes(first)[0], *(2 * side + 3 for side in margin))
    generator = torch.Generator("cpu").manual_seed(0)
    x = torch.randn(size, generator=generator, device="cpu").to(first.weight)
    with full_precision(x.device):
        y = first(x)
        for place, activation in zip(places[1:], activations, strict=True):
            y = place.layer(y if activation is None else activation(y))
    inside = (..., *(slice(side, side + 3) for side in margin))
    off = float((y - x)[inside].abs().max()) if y.shape == x.shape else math.inf
    if not off <= 1e-4 * condition:
        parameters = [p for place in places for p in place.layer.parameters()]
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
        raise ValueError(
            f"modules: the layers do more than they say: their output is off by {off:.3g}; hooks, "
            "or a forward() of their own?"
        )


def _check_geometry(places: list[_Place]) -> list[tuple[int, ...]]:
    """Kernels of the layers, which must be of one kind."""
    kind = type(places[0].layer)
    for place in places:
        if type(place.layer) is not kind:
            raise ValueError(
                f"{place.name}: expected {kind.__name__} like {places[0].name}, got "
                f"{type(place.layer).__name__}"
            )
    if issubclass(kind, nn.Linear):
        return [() for _ in places]
    for place in places:
        _check_convolution(place)
    kernels = [tuple(place.layer.kernel_size) for place in places]
    for kernel in kernels:
        sizes = {size for size in kernel if size > 1}
        moving = [axis for axis in range(len(kernel)) if max(k[axis] for k in kernels) > 1]
        if len(sizes) > 1 or (sizes and any(kernel[axis] == 1 for axis in moving)):
            raise ValueError(
                "modules: expected kernels of one size along all dimensions in which any layer has "
                f"more than 1, got {kernels}"
            )
    if len({place.layer.dilation for place in places}) > 1 and any(max(k) > 1 for k in kernels):
        raise ValueError("modules: expected one dilation for all layers")
    return kernels


def _check_convolution(place: _Place) -> None:
    layer = place.layer
    for what, expected in (("stride", 1), ("groups", 1)):
        found = getattr(layer, what)
        if found != expected and found != (expected,) * len(layer.kernel_size):
            raise ValueError(f"{place.name}: expected {what} {expected}, got {found}")
    for size, dilation, pad in zip(layer.kernel_size, layer.dilation, _padding(layer), strict=True):
        if size % 2 == 0:
            raise ValueError(
                f"{place.name}: expected an odd kernel_size, got {layer.kernel_size}: an even one "
                "has no centre (TransparentSequence takes any)"
            )
        if pad != dilation * (size - 1) // 2:
            raise ValueError(
                f"{place.name}: expected padding {dilation * (size - 1) // 2} for kernel_size "
                f"{layer.kernel_size} and dilation {layer.dilation}, so that the size stays; got "
                f"{layer.padding}"
            )


def _padding(layer: Any) -> tuple[int, ...]:
    if layer.padding == "same":
        return tuple(_reach(layer))
    if layer.padding == "valid":
        return (0,) * len(layer.kernel_size)
    return tuple(layer.padding)


def _reach(layer: Any) -> list[int]:
    """How many pixels a layer sees to either side, by dimension."""
    if isinstance(layer, nn.Linear):
        return []
    pairs = zip(layer.kernel_size, layer.dilation, strict=True)
    return [dilation * (size - 1) // 2 for size, dilation in pairs]


def _circular(layers: list[Any]) -> bool:
    return all(getattr(layer, "padding_mode", "circular") == "circular" for layer in layers)


def _junctions(places: list[_Place], dims: int) -> tuple[list[Junction], list[int]]:
    """What stands between the layers, and their widths without the doubling."""
    first = layer_sizes(places[0].layer)[0]
    widths, junctions = [first], []
    for place, following in itertools.pairwise(places):
        size, incoming = layer_sizes(place.layer)[1], layer_sizes(following.layer)[0]
        if incoming != size:
            raise ValueError(
                f"{following.name}: expected {size} input channels behind {place.name}, got "
                f"{incoming}"
            )
        factor = 1 if following.activation is None else 2
        if size % factor or size < factor * first:
            what = "a number" if factor == 1 else "an even number, for y and -y,"
            raise ValueError(
                f"{place.name}: expected {what} of outputs >= {factor} x {first} (the inputs of "
                f"{places[0].name}), got {size}"
            )
        widths.append(size // factor)
        junctions.append(_junction(following, widths[-1], dims))
    last = layer_sizes(places[-1].layer)[1]
    if last != first:
        raise ValueError(
            f"{places[-1].name}: expected {first} outputs, the inputs of {places[0].name}, got "
            f"{last}"
        )
    return junctions, [*widths, last]


def _junction(place: _Place, width: int, dims: int) -> Junction:
    found = join(place.activation, width, dims)
    if isinstance(found.module, PairActivation) and found.module is not place.activation:
        kind = type(place.activation).__name__
        raise ValueError(
            f"activation: {kind} in front of {place.name} has no c with s(x) - s(-x) = c x; take "
            f"PairActivation({kind}(), dim={1 if dims else -1}) for it"
        )
    return found
