# SPDX-License-Identifier: Apache-2.0
"""The masked network: of full size, without what pruned neurons give to others."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch

from mrfcore.pruning.graph import Graph, Layer
from mrfcore.pruning.masks import Bools, kept_channels

__all__ = ["masked"]


def masked(
    model: torch.nn.Module,
    graph: Graph,
    masks: Mapping[str, torch.Tensor],
    scores: Mapping[str, torch.Tensor] | None = None,
) -> torch.nn.Module:
    """A copy of the network, of the same size, in which no layer reads a pruned channel.

    Weights are zero in all layers that read a pruned channel, which is what a mask on their
    inputs does: c of (5.4), after normalisation, activation and addition.

    Args:
        model: what `graph` was traced from.
        graph: of `trace`.
        masks: by layer: bool ``[out_channels]``; made consistent by `clean_masks` first.
        scores: decide which neurons stay where outputs are added.

    Raises:
        ValueError: masks that do not fit.
    """
    always = np.append(kept_channels(graph, masks, scores), True)  # -1: always
    result = copy.deepcopy(model)
    parameters = dict(result.named_parameters())
    for layer in graph.layers:
        weight = parameters[layer.weight]
        with torch.no_grad():
            weight.mul_(_mask(layer, always[layer.inputs], weight))
    return result


def _mask(layer: Layer, reads: Bools, weight: torch.Tensor) -> torch.Tensor:
    """Zeros where the weight reads a channel that is gone, to be multiplied with it."""
    mask = torch.from_numpy(reads).to(weight.device)
    dims = weight.ndim
    if layer.kind != "conv" or layer.groups == 1:  # an axis has all inputs
        return mask.reshape([-1 if axis == layer.in_axis else 1 for axis in range(dims)])
    # [out, in / groups, ...]: rows of a group read that group's inputs
    rows = mask.reshape(layer.groups, 1, -1).expand(-1, layer.out_channels // layer.groups, -1)
    return rows.reshape(layer.out_channels, -1, *[1] * (dims - 2))
