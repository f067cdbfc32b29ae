# SPDX-License-Identifier: Apache-2.0
"""Penalties for frames and flows (Kong 2019, Eq 7.3 and 7.8)."""

from __future__ import annotations

import torch

from mrfcore._scalars import _checked, _choice

__all__ = ["charbonnier", "flow_smoothness"]


def charbonnier(
    residual: torch.Tensor, epsilon: float = 1e-3, *, reduction: str = "mean"
) -> torch.Tensor:
    """sqrt(s^2 + epsilon^2) of every number s: |s| with a round tip (Eq 7.3).

    Args:
        residual: floating-point tensor of any shape, on any device. float16 and bfloat16 are
            computed in float32 and returned as they came.
        epsilon: > 0, the value at s = 0.
        reduction: "mean", "sum" or "none".

    Returns:
        A number, or the shape of `residual` for "none". The derivative is s / sqrt(s^2 +
        epsilon^2), any number of times.

    Raises:
        ValueError, TypeError: the message names the argument.
    """
    if not isinstance(residual, torch.Tensor):
        raise TypeError(f"residual: expected a tensor, got {type(residual).__name__}")
    if not residual.is_floating_point():
        raise TypeError(f"residual: expected floating-point numbers, got dtype {residual.dtype}")
    _checked("epsilon", epsilon, lambda e: 0 < e < float("inf"), "a finite number > 0")
    s = _wide(residual)
    return _reduced((s.square() + epsilon**2).sqrt(), reduction).to(residual.dtype)


def flow_smoothness(flow: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """Absolute differences between neighbouring vectors of a flow (Eq 7.8): 0 for a constant one.

    Args:
        flow: [B, 2, H, W] in pixels, at least 1 x 1, floating point, on any device. float16 and
            bfloat16 are computed in float32 and returned as they came.
        reduction: "mean" over all differences (B times 2 times H (W - 1) + (H - 1) W; 0 if there
            are none), or "sum".

    Returns:
        A number. A difference of exactly 0 passes no gradient.

    Raises:
        ValueError, TypeError: the message names the argument.
    """
    if not isinstance(flow, torch.Tensor):
        raise TypeError(f"flow: expected a tensor, got {type(flow).__name__}")
    if not flow.is_floating_point():
        raise TypeError(f"flow: expected floating-point numbers, got dtype {flow.dtype}")
    if flow.dim() != 4 or flow.shape[1] != 2 or 0 in flow.shape[2:]:
        raise ValueError(f"flow: expected [B, 2, H, W], got shape {list(flow.shape)}")
    _choice("reduction", reduction, ("mean", "sum"))
    steps = [_wide(flow).diff(dim=dim).abs() for dim in (2, 3)]
    total = steps[0].sum() + steps[1].sum()
    count = steps[0].numel() + steps[1].numel()
    return (total if reduction == "sum" else total / max(1, count)).to(flow.dtype)


def _wide(x: torch.Tensor) -> torch.Tensor:
    """Squares and sums of 16 bits overflow, or lose epsilon^2."""
    return x if x.dtype == torch.float64 else x.float()


def _reduced(values: torch.Tensor, reduction: str) -> torch.Tensor:
    if _choice("reduction", reduction, ("mean", "sum", "none")) == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()
