# SPDX-License-Identifier: Apache-2.0
"""Weights before training: Glorot's and orthogonal ones (section 5.5.3)."""

from __future__ import annotations

import torch

from mrfcore._scalars import _choice

__all__ = ["initialise"]


def initialise(
    model: torch.nn.Module, kind: str = "glorot", *, generator: torch.Generator | None = None
) -> torch.nn.Module:
    """Draw all weights of convolutions and linear layers anew, in place.

    Biases become 0; normalisation layers get scale 1, shift 0 and fresh statistics.

    Args:
        model: any module.
        kind: "glorot": normal, of variance 2 / (fan_in + fan_out); "orthogonal": the weight as a
            matrix ``[out, rest]`` has orthonormal rows or columns.
        generator: None: torch's own.

    Returns:
        the model.

    Raises:
        ValueError: another kind.
    """
    _choice("kind", kind, ("glorot", "orthogonal"))
    draw = torch.nn.init.xavier_normal_ if kind == "glorot" else torch.nn.init.orthogonal_
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, (torch.nn.modules.conv._ConvNd, torch.nn.Linear)):
            draw(module.weight, generator=generator)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(weight, torch.nn.Parameter) and hasattr(module, "eps"):
            torch.nn.init.ones_(weight)
            if getattr(module, "bias", None) is not None:
                torch.nn.init.zeros_(module.bias)  # type: ignore[arg-type, unused-ignore]
            if isinstance(module, torch.nn.modules.batchnorm._NormBase):
                module.reset_running_stats()
    return model
