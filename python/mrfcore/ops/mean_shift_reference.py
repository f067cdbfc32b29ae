# SPDX-License-Identifier: Apache-2.0
"""Recurrent mean shift in plain torch, written to be read. Autograd supplies every gradient.

The specification of `mrfcore.ops.mean_shift`, the oracle of its tests and the baseline of its
benchmark. The kernel matrix is stored: N^2 numbers and several times that for the backward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mean_shift", "mean_shift_euclid"]

_SHORTEST = 1e-12


def mean_shift(x: Tensor, kappa: float | Tensor, steps: int = 5, step_size: float = 1.0) -> Tensor:
    """`mrfcore.ops.mean_shift` of x [B, D, N]."""
    x = _normalise(x, torch.zeros_like(x))
    for _ in range(steps):
        similarity = x.transpose(1, 2) @ x  # S = X^T X
        # exp(-kappa) cancels in the quotient below, and keeps exp in range.
        kernel = torch.exp(kappa * (similarity - 1))
        mean = (x @ kernel) / kernel.sum(1, keepdim=True)  # sum over i of K_ij x_i / d_j
        x = _normalise((1 - step_size) * x + step_size * mean, x)
    return x


def mean_shift_euclid(
    x: Tensor,
    bandwidth: float | Tensor,
    steps: int = 5,
    step_size: float = 1.0,
    *,
    kernel: str = "gaussian",
) -> Tensor:
    """`mrfcore.ops.mean_shift_euclid` of x [B, D, N]."""
    for _ in range(steps):
        squares = (x.unsqueeze(3) - x.unsqueeze(2)).square().sum(1)  # [B, N, N]
        weights = (
            torch.exp(-squares / (2 * bandwidth**2))
            if kernel == "gaussian"
            else (squares <= bandwidth**2).to(x.dtype)
        )
        mean = (x @ weights) / weights.sum(1, keepdim=True)
        x = (1 - step_size) * x + step_size * mean
    return x


def _normalise(y: Tensor, otherwise: Tensor) -> Tensor:
    """Unit columns y / |y|; where y vanishes `otherwise`, without a gradient."""
    vanishes = (y.detach().norm(dim=1, keepdim=True) <= _SHORTEST).expand_as(y)
    safe = torch.where(vanishes, torch.ones_like(y), y)
    unit = safe / safe.norm(dim=1, keepdim=True)
    return torch.where(vanishes, otherwise.detach(), unit)
