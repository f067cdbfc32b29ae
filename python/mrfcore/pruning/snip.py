# SPDX-License-Identifier: Apache-2.0
"""SNIP on parameters, and the neurons that it leaves (section 5.3; the baseline "SNIP NP")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mrfcore._scalars import _checked
from mrfcore.pruning._folds import per_neuron
from mrfcore.pruning.graph import Graph, Layer
from mrfcore.pruning.masks import Bools, Masks
from mrfcore.pruning.scores import MaskGradients

__all__ = ["snip_masks"]


@dataclass(frozen=True, eq=False)
class _Reads:
    """What a layer's weights connect: ``[out, n]`` channels read, and whether a weight is left."""

    layer: Layer
    channels: npt.NDArray[np.int64]
    left: Bools


def snip_masks(graph: Graph, gradients: MaskGradients, sparsity: float) -> Masks:
    """Neurons that keep at least one weight when the least sensitive parameters are pruned.

    int(n * (1 - sparsity)) of all n weights and biases are kept by the magnitude of their mask
    gradients, those of the layers that cannot be pruned in any case. Then, until nothing changes: a
    neuron goes when no weight is left to a channel that it reads, a channel when no neuron makes it
    or none reads it.

    Args:
        graph: of `trace`.
        gradients: of `mask_gradients`.
        sparsity: pruned share of the parameters.

    Returns:
        by layer: bool ``[out_channels]``, True: stays.

    Raises:
        ValueError: a sparsity outside 0 .. 1.
    """
    _checked("sparsity", sparsity, lambda s: 0 <= s <= 1, "a number from 0 to 1")
    reads = _connections(graph, gradients, sparsity)
    fixed = np.array([reason is not None for reason in graph.reasons] + [True])
    alive = np.ones(len(graph.reasons) + 1, dtype=np.bool_)  # the last one: always there
    while True:
        made, used = fixed.copy(), fixed.copy()
        rows = [alive[one.layer.neurons] & (one.left & alive[one.channels]).any(1) for one in reads]
        for one, row in zip(reads, rows, strict=True):
            if not one.layer.follows:
                made[one.layer.neurons[row]] = True
                used[one.channels[row][one.left[row]]] = True
        now = alive & made & used
        if (now == alive).all():
            break
        alive = now
    masks = {}
    for one, row in zip(reads, rows, strict=True):
        kept = alive[one.layer.neurons] if one.layer.follows else row & alive[one.layer.neurons]
        whole = one.layer.fixed is not None
        masks[one.layer.name] = torch.from_numpy(np.ones_like(kept) if whole else kept)
    return masks


def _connections(graph: Graph, gradients: MaskGradients, sparsity: float) -> list[_Reads]:
    """Which weights are among the most sensitive of all."""
    names = {layer.weight: None for layer in graph.layers}
    names |= {layer.bias: None for layer in graph.layers if layer.bias is not None}
    values = {name: gradients.absolute[name] for name in names if name is not None}
    flat = torch.cat([value.flatten().cpu() for value in values.values()])
    count = int(len(flat) * (1 - sparsity))
    kept = torch.zeros(len(flat), dtype=torch.bool)
    kept[torch.argsort(flat, descending=True, stable=True)[:count]] = True
    parts = kept.split([value.numel() for value in values.values()])
    left = {
        name: part.reshape(values[name].shape) for name, part in zip(values, parts, strict=True)
    }
    found = []
    for layer in graph.layers:
        per_group = layer.in_channels // layer.groups
        weight = per_neuron(layer, {layer.weight: left[layer.weight]})
        weight = weight.reshape(layer.out_channels, per_group, -1).any(2)
        groups = layer.inputs.reshape(layer.groups, per_group)
        channels = np.repeat(groups, layer.out_channels // layer.groups, axis=0)
        whole = torch.ones_like(weight) if layer.fixed is not None else weight
        found.append(_Reads(layer, channels, whole.numpy()))
    return found
