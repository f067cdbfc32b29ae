# SPDX-License-Identifier: Apache-2.0
"""Warps and their gradients as torch.library ops; what is above them is in `warp.py`."""

from __future__ import annotations

from typing import Any

import torch

from mrfcore import _core, _device

__all__ = ["forward_op", "gradient_op"]

torch.library.define(
    "mrfcore::warp",
    "(Tensor image, Tensor flow, bool want_mask, str padding, int threads) -> "
    "(Tensor out, Tensor mask)",
)
torch.library.define(
    "mrfcore::warp_gradient",
    "(Tensor image, Tensor flow, Tensor grad_out, bool need_image, bool need_flow, str padding, "
    "int threads) -> (Tensor grad_image, Tensor grad_flow)",
)

forward_op = torch.ops.mrfcore.warp
gradient_op = torch.ops.mrfcore.warp_gradient


def _on_gpu(
    stem: str,
    padding: str,
    image: torch.Tensor,
    flow: torch.Tensor,
    *tensors: torch.Tensor | None,
    workspace: bool,
) -> None:
    """The core's function on a GPU, with addresses of `tensors`."""
    p: Any = _core.CudaWarpProblem()
    p.batch, p.channels, p.height, p.width = image.shape
    p.out_height, p.out_width = flow.shape[2:]
    p.padding = getattr(_core.WarpPadding, padding)
    needed = _device.function("cuda_warp_gradient_workspace_bytes", image.dtype)
    size = needed(p) if workspace else 0
    memory = _device.empty(image, size, torch.uint8, "sums of gradients")
    addresses = (_device.address(x) for x in (image, flow, *tensors))
    with _device.current(image):
        _device.function(stem, image.dtype)(p, *addresses, _device.queue(image, memory))


def _results(
    image: torch.Tensor, flow: torch.Tensor, want_mask: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    batch, channels = image.shape[:2]
    size = flow.shape[2:]
    mask = image.new_empty((batch, *size) if want_mask else (0,), dtype=torch.bool)
    return image.new_empty((batch, channels, *size)), mask


@torch.library.impl("mrfcore::warp", ("cpu", "cuda"))
def _forward(
    image: torch.Tensor, flow: torch.Tensor, want_mask: bool, padding: str, threads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    out, mask = _results(image, flow, want_mask)
    image, flow = image.detach().contiguous(), flow.detach().contiguous()
    if _device.on_device(image):
        valid = mask if want_mask else None
        _on_gpu("cuda_warp", padding, image, flow, out, valid, workspace=False)
        return out, mask
    _core.warp(
        image.numpy(),
        flow.numpy(),
        getattr(_core.WarpPadding, padding),
        threads,
        out.numpy(),
        mask.view(torch.uint8).numpy() if want_mask else None,
    )
    return out, mask


@torch.library.register_fake("mrfcore::warp")
def _forward_fake(
    image: torch.Tensor,
    flow: torch.Tensor,
    want_mask: bool,
    padding: str,  # noqa: ARG001
    threads: int,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor]:
    return _results(image, flow, want_mask)


def _empty_grads(
    image: torch.Tensor, flow: torch.Tensor, need_image: bool, need_flow: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        image.new_empty(image.shape if need_image else 0),
        flow.new_empty(flow.shape if need_flow else 0),
    )


@torch.library.impl("mrfcore::warp_gradient", ("cpu", "cuda"))
def _gradient(
    image: torch.Tensor,
    flow: torch.Tensor,
    grad_out: torch.Tensor,
    need_image: bool,
    need_flow: bool,
    padding: str,
    threads: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    grad_image, grad_flow = _empty_grads(image, flow, need_image, need_flow)
    image, flow, grad_out = (x.detach().contiguous() for x in (image, flow, grad_out))
    if _device.on_device(image):
        wanted = (grad_image if need_image else None, grad_flow if need_flow else None)
        stem = "cuda_warp_gradient"
        _on_gpu(stem, padding, image, flow, grad_out, *wanted, workspace=need_image)
        return grad_image, grad_flow
    _core.warp_gradient(
        image.numpy(),
        flow.numpy(),
        grad_out.numpy(),
        getattr(_core.WarpPadding, padding),
        threads,
        grad_image.numpy() if need_image else None,
        grad_flow.numpy() if need_flow else None,
    )
    return grad_image, grad_flow


@torch.library.register_fake("mrfcore::warp_gradient")
def _gradient_fake(
    image: torch.Tensor,
    flow: torch.Tensor,
    grad_out: torch.Tensor,  # noqa: ARG001
    need_image: bool,
    need_flow: bool,
    padding: str,  # noqa: ARG001
    threads: int,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor]:
    return _empty_grads(image, flow, need_image, need_flow)
