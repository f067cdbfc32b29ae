# SPDX-License-Identifier: Apache-2.0
"""Mean shift and the pairwise margin loss on the GPU: enqueued on torch's current stream.

Nothing waits for the GPU, reads from it or allocates outside torch, so that calls can be captured
in a CUDA graph.
"""

from __future__ import annotations

from typing import Any

import torch

from mrfcore import _core, _device

__all__ = ["mean_shift", "mean_shift_backward", "pairwise_margin"]

_ALIGNMENT = 16  # of a tape, in bytes


def _workspace(like: torch.Tensor, size: int) -> torch.Tensor:
    return _device.empty(like, size, torch.uint8, "sums of points")


def _call(like: torch.Tensor, kappa: torch.Tensor, kernel: str, steps: int, eta: float) -> Any:
    batch, dims, points = like.shape
    return _core.CudaMeanShift(batch, dims, points, kernel, steps, kappa.data_ptr(), eta)


def mean_shift(
    x: torch.Tensor, kappa: torch.Tensor, tape_size: int, kernel: str, steps: int, step_size: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(moved, tape) of points [B, D, N]; no tape for tape_size 0."""
    points = x.detach().contiguous()
    width = kappa.detach().to(points)
    moved = _device.empty(points, points.shape, points.dtype, "moved points")
    tape = _device.empty(points, tape_size, points.dtype, "what backward needs")
    call = _call(points, width, kernel, steps, step_size)
    needed = _device.function("cuda_mean_shift_forward_workspace_bytes", points.dtype)
    workspace = _workspace(points, needed(call, tape_size > 0))
    with _device.current(points):
        _device.function("cuda_mean_shift_forward", points.dtype)(
            call,
            points.data_ptr(),
            moved.data_ptr(),
            tape.data_ptr() if tape_size else 0,
            _device.queue(points, workspace),
        )
    return moved, tape


def mean_shift_backward(
    kappa: torch.Tensor,
    tape: torch.Tensor,
    grad: torch.Tensor,
    need_x: bool,
    kernel: str,
    steps: int,
    step_size: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of points, [0] if not needed, and of kappa, []."""
    slope, record = grad.detach().contiguous(), tape.detach().contiguous()
    if record.data_ptr() % _ALIGNMENT:  # a hook may hand back a piece of something larger
        record = record.clone()
    width = kappa.detach().to(slope)
    grad_x = _device.empty(slope, slope.shape if need_x else 0, slope.dtype, "a gradient")
    grad_kappa = _device.empty(slope, (), torch.float64, "a gradient")
    call = _call(slope, width, kernel, steps, step_size)
    needed = _device.function("cuda_mean_shift_backward_workspace_bytes", slope.dtype)
    workspace = _workspace(slope, needed(call))
    with _device.current(slope):
        _device.function("cuda_mean_shift_backward", slope.dtype)(
            call,
            record.data_ptr(),
            slope.data_ptr(),
            grad_x.data_ptr() if need_x else 0,
            grad_kappa.data_ptr(),
            _device.queue(slope, workspace),
        )
    return grad_x, grad_kappa.to(slope.dtype)


def pairwise_margin(
    x: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    need_grad: bool,
    alpha: float,
    neg_weight: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss [B] in float64, d loss / d x or [0])."""
    points = x.detach().contiguous()
    names, shares = labels.detach().long().contiguous(), weights.detach().to(points).contiguous()
    loss = _device.empty(points, points.shape[0], torch.float64, "a loss")
    grad = _device.empty(points, points.shape if need_grad else 0, points.dtype, "a gradient")
    needed = _device.function("cuda_pairwise_margin_workspace_bytes", points.dtype)
    workspace = _workspace(points, needed(*points.shape, need_grad))
    with _device.current(points):
        _device.function("cuda_pairwise_margin_loss", points.dtype)(
            *points.shape,
            alpha,
            neg_weight,
            points.data_ptr(),
            names.data_ptr(),
            shares.data_ptr(),
            loss.data_ptr(),
            grad.data_ptr() if need_grad else 0,
            _device.queue(points, workspace),
        )
    return loss, grad
