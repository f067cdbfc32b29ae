# SPDX-License-Identifier: Apache-2.0
"""Labels as tensors: the checks, and one plane a label."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["label_numbers", "one_hot"]


def label_numbers(name: str, labels: object) -> Tensor:
    """Labels as int64, whatever integers they are.

    Raises:
        TypeError: no tensor of integers; masks are none.
    """
    if not isinstance(labels, Tensor):
        hint = "; pass torch.from_numpy(labels)" if hasattr(labels, "__array__") else ""
        raise TypeError(
            f"{name}: expected a tensor of integers [B, H, W], got {type(labels).__name__}{hint}"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{name}: expected integers, got dtype {labels.dtype}")
    return labels.long()


def one_hot(numbers: Tensor, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """[B, count, H, W] of int64 [B, H, W] in 0..count - 1; nothing of that size beside it."""
    planes = numbers.new_zeros((numbers.shape[0], count, *numbers.shape[1:]), dtype=dtype)
    return planes.scatter_(1, numbers.unsqueeze(1), 1.0)
