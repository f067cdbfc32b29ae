# SPDX-License-Identifier: Apache-2.0
"""Weights as matrices: a row for each neuron, or for each input channel."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mrfcore.pruning.graph import Layer

__all__ = ["per_input", "per_neuron"]


def per_neuron(layer: Layer, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """``[out_channels, n]``: what belongs to the weights of each neuron, and to its bias.

    Args:
        layer: of the graph.
        values: of the shape of each parameter, by its name.
    """
    weight = values[layer.weight]
    if layer.kind == "deconv":  # [in, out / groups, ...]
        rows = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2)
        matrix = rows.reshape(layer.out_channels, -1)
    else:
        matrix = weight.transpose(0, layer.out_axis).reshape(layer.out_channels, -1)
    if layer.bias is not None and layer.bias in values:
        matrix = torch.cat([matrix, values[layer.bias][:, None]], 1)
    return matrix


def per_input(layer: Layer, weight: torch.Tensor) -> torch.Tensor:
    """``[in_channels, n]``: what belongs to the weights that read each channel."""
    if layer.kind == "conv":  # [out, in / groups, ...]
        rows = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2)
        return rows.reshape(layer.in_channels, -1)
    return weight.transpose(0, layer.in_axis).reshape(layer.in_channels, -1)
