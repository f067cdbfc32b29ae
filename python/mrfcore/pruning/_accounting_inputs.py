# SPDX-License-Identifier: Apache-2.0
"""What a model is given, from tensors or shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mrfcore.models._images import count_option
from mrfcore.models._registry import input_shapes

__all__ = ["make_inputs"]


def make_inputs(model: nn.Module, inputs: Any, batch: int) -> list[torch.Tensor]:
    """Tensors as they are; of shapes, zeros of the kind of the model's parameters.

    Raises:
        ValueError: neither tensors nor sizes.
    """
    if isinstance(inputs, torch.Tensor):
        return [inputs]
    count = count_option("batch", batch)
    if not isinstance(inputs, Sequence) or isinstance(inputs, str) or not len(inputs):
        raise ValueError(f"inputs: expected tensors or shapes without the batch, got {inputs!r}")
    if all(isinstance(one, torch.Tensor) for one in inputs):
        return list(inputs)
    try:
        shapes = input_shapes(tuple(inputs))
    except (TypeError, ValueError):
        raise ValueError(
            f"inputs: expected tensors, or shapes with sizes >= 1 without the batch, got {inputs!r}"
        ) from None
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(()))
    return [torch.zeros((count, *one), dtype=like.dtype, device=like.device) for one in shapes]
