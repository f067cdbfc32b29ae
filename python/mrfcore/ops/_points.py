# SPDX-License-Identifier: Apache-2.0
"""What the operators on points [B, D, N] share: checks, and whether a backward pass may come."""

from __future__ import annotations

import torch

from mrfcore.ops._tensors import check_floats, check_has_kernel

__all__ = ["check_points", "gradient_wanted"]


def check_points(x: object) -> None:
    """Raise TypeError or ValueError unless x is [B, D, N] or [B, D, H, W], with a kernel for it."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x: expected a tensor, got {type(x).__name__}")
    check_has_kernel("x", x)
    check_floats("x", x)
    if x.dim() not in (3, 4) or x.numel() == 0:
        raise ValueError(
            f"x: expected [B, D, N] or [B, D, H, W], none of them 0, got shape {list(x.shape)}"
        )


def gradient_wanted(*inputs: torch.Tensor) -> bool:
    """Whether something must be kept for a backward pass."""
    # Tensors inside torch.func.grad, vmap(...) do not all say whether somebody differentiates them.
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        return True
    return torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
