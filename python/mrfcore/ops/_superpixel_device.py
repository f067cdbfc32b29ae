# SPDX-License-Identifier: Apache-2.0
"""Superpixels on the GPU: everything is enqueued on torch's current stream.

Nothing waits for the GPU, reads from it or allocates outside torch, so that calls can be captured
in a CUDA graph. Ids that are out of range belong to no superpixel.
"""

from __future__ import annotations

from typing import Any

import torch

from mrfcore import _core, _device

__all__ = ["consistency", "maximum", "pool", "soft", "unpool"]

# Consistency takes ids up to the number of pixels, which relabelled maps keep to, and up to this
# where images are small: a crop has the ids of its image.
_LEAST_IDS = 1 << 16


class _Call:
    """Values [B, C, ...] and ids [B, H, W], kept alive, and the core's view of the map."""

    def __init__(self, values: torch.Tensor, ids: torch.Tensor, num: int) -> None:
        # Graph compilers may hand over other strides than those that were traced.
        self.values, self.ids = values.detach().contiguous(), ids.contiguous()
        self.map = _core.CudaSuperpixelMap()
        self.map.ids, self.map.wide = self.ids.data_ptr(), ids.dtype == torch.int64
        self.map.items, self.map.height, self.map.width = ids.shape
        self.map.channels, self.map.num = values.shape[1], num

    def empty(self, *shape: int) -> torch.Tensor:
        return _device.empty(self.values, shape, self.values.dtype, "a result")

    def run(self, stem: str, needed: Any, *arguments: Any) -> None:
        """`needed`: bytes of workspace for a number of items."""
        workspace = _device.workspace(self.values, needed, self.map.items)
        queue = _device.queue(self.values, workspace)
        with _device.current(self.values):
            _device.function(stem, self.values.dtype)(self.map, *arguments, queue)

    def needed(self, stem: str) -> Any:
        count = _device.function(f"{stem}_workspace_bytes", self.values.dtype)
        return lambda items: count(self.map, items)


def pool(x: torch.Tensor, ids: torch.Tensor, num: int, mean: bool) -> torch.Tensor:
    """[B, C, num]."""
    call = _Call(x, ids, num)
    z = call.empty(x.shape[0], x.shape[1], num)
    kind = _core.SuperpixelReduce.mean if mean else _core.SuperpixelReduce.sum
    stem = "cuda_superpixel_pool"
    call.run(stem, call.needed(stem), call.values.data_ptr(), kind, z.data_ptr(), 0)
    return z


def maximum(x: torch.Tensor, ids: torch.Tensor, num: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima and the first pixels that have them, [B, C, num]."""
    call = _Call(x, ids, num)
    z = call.empty(x.shape[0], x.shape[1], num)
    winners = _device.empty(x, z.shape, torch.int64, "pixels of maxima")
    stem = "cuda_superpixel_pool"
    call.run(
        stem,
        call.needed(stem),
        call.values.data_ptr(),
        _core.SuperpixelReduce.max,
        z.data_ptr(),
        winners.data_ptr(),
    )
    return z, winners


def unpool(z: torch.Tensor, ids: torch.Tensor, divide: bool) -> torch.Tensor:
    """[B, C, H, W]."""
    call = _Call(z, ids, z.shape[2])
    out = call.empty(*z.shape[:2], *ids.shape[1:])
    needed = _core.cuda_superpixel_unpool_workspace_bytes
    call.run(
        "cuda_superpixel_unpool",
        lambda items: needed(call.map, divide, items),
        call.values.data_ptr(),
        divide,
        out.data_ptr(),
    )
    return out


def consistency(
    x: torch.Tensor, ids: torch.Tensor, valid: torch.Tensor | None, keep: bool, adjoint: bool
) -> torch.Tensor:
    """[B, C, H, W]."""
    call = _Call(x, ids, max(ids.shape[1] * ids.shape[2], _LEAST_IDS))
    mask = None if valid is None else valid.contiguous()
    out = call.empty(*x.shape)
    stem = "cuda_superpixel_consistency"
    call.run(
        stem,
        call.needed(stem),
        call.values.data_ptr(),
        _device.address(mask),
        keep,
        adjoint,
        out.data_ptr(),
    )
    return out


def soft(name: str, a: torch.Tensor, b: torch.Tensor, cell: int, out: torch.Tensor) -> torch.Tensor:
    """`out`: the result's memory, [B, C or 9, ...]."""
    a, b = a.detach().contiguous(), b.detach().contiguous()
    pixels = b if name == "pool" else out if name == "unpool" else a
    batch, channels, height, width = pixels.shape
    grid = _core.CudaSoftSuperpixels(batch, channels, height, width, cell)
    stem = f"cuda_soft_superpixel_{name}"
    count = _device.function("cuda_soft_superpixel_pool_workspace_bytes", a.dtype)
    workspace = _device.workspace(a, lambda n: count(grid, n) if name == "pool" else 0, batch)
    queue = _device.queue(a, workspace)
    with _device.current(a):
        _device.function(stem, a.dtype)(grid, a.data_ptr(), b.data_ptr(), out.data_ptr(), queue)
    return out
