# SPDX-License-Identifier: Apache-2.0
"""What of a network can be pruned, and what has to go along: found by running it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_map_only

from mrfcore.pruning._classes import Ids

__all__ = ["INPUT", "OUTPUT", "Graph", "Layer", "Segment", "Spec"]

INPUT = "input of the network"
OUTPUT = "output of the network"


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution or linear layer.

    Attributes:
        name: of the module.
        weight, bias: names of its parameters; no bias: None.
        kind: "conv", "deconv" or "linear".
        out_axis, in_axis: of the weight.
        groups: of the convolution; 1 for others.
        follows: depthwise: its neurons stay where those that they read stay.
        neurons: ``[out_channels]``, the channel of each output: an index into `Graph.reasons`.
        inputs: ``[in_channels]``, the channel that each input reads; -1: one that always stays.
        fixed: why no neuron of this layer can be pruned, or None.
    """

    name: str
    weight: str
    bias: str | None
    kind: str
    out_axis: int
    in_axis: int
    groups: int
    follows: bool
    neurons: Ids
    inputs: Ids
    fixed: str | None

    @property
    def out_channels(self) -> int:
        """Neurons of the layer."""
        return len(self.neurons)

    @property
    def in_channels(self) -> int:
        """Channels that it reads."""
        return len(self.inputs)


@dataclass(frozen=True)
class Spec:
    """A tensor without its data."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, eq=False)
class Segment:
    """Channels that come from the same layers, and so stay or go by one count.

    Attributes:
        channels: ``[n]``.
        members: for each layer, by its index, which of its neurons are in each channel: ``[n, m]``;
            m is 1 except for grouped layers. Several layers: their outputs are added.
    """

    channels: Ids
    members: Mapping[int, Ids]


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as `trace` saw it.

    Attributes:
        layers: in the order in which the model has them.
        reasons: for each channel why it has to stay, or None where it can be pruned.
        slots: (parameter or buffer, axis): the channel of each entry along it, -1 for fixed ones.
            It has all that has to be cut except the layers' weights.
        norm_groups: names of GroupNorms: their channels, and how many are a group.
        segments: of the channels that can be pruned.
        tensors: all parameters: name and shape.
        inputs: what it was traced with, without data; see `make_inputs`.
        unknown: operations that were met and not known, and where; see `trace`.
    """

    layers: tuple[Layer, ...]
    reasons: tuple[str | None, ...]
    slots: Mapping[tuple[str, int], Ids]
    norm_groups: Mapping[str, tuple[Ids, int]]
    segments: tuple[Segment, ...]
    tensors: Mapping[str, tuple[int, ...]]
    inputs: Any
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def neurons(self) -> int:
        """All neurons, those of the last layer too."""
        return sum(layer.out_channels for layer in self.layers)

    def layer(self, name: str) -> Layer:
        """A layer by its name.

        Raises:
            ValueError: there is no such layer.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"name: no layer {name!r} in this network")

    def make_inputs(self) -> tuple[Any, ...]:
        """Tensors, not filled, like those it was traced with."""

        def make(spec: Any) -> Any:
            return torch.empty(spec.shape, dtype=spec.dtype, device=spec.device)

        made: tuple[Any, ...] = tree_map_only(Spec, make, self.inputs)
        return made

    def split(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """A value for each neuron, layer after layer, by the names of the layers."""
        sizes = [layer.out_channels for layer in self.layers]
        return dict(zip((layer.name for layer in self.layers), flat.split(sizes), strict=True))

    def join(self, by_layer: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The inverse of `split`."""
        return torch.cat([by_layer[layer.name] for layer in self.layers])
