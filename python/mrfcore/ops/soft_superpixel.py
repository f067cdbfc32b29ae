# SPDX-License-Identifier: Apache-2.0
"""Soft superpixels: pooling and unpooling with nine associations a pixel (Eq 4.1-4.2)."""

from __future__ import annotations

import torch

from mrfcore._scalars import _checked, _choice, _integer, _threads
from mrfcore.ops._soft_superpixel_library import soft_pool_op, soft_unpool_op
from mrfcore.ops.superpixel import _check_values, _computed

__all__ = ["soft_superpixel_pool", "soft_superpixel_unpool", "superpixel_ids"]

BORDERS = ("zero", "renorm")


def soft_superpixel_pool(
    x: torch.Tensor,
    q: torch.Tensor,
    cell: int = 16,
    *,
    border: str = "zero",
    eps: float = 1e-8,
    threads: int | None = None,
) -> torch.Tensor:
    """Weighted mean of `x` over the pixels around every cell (Eq 4.2a).

    u_s = sum q_k(p) x_p / (sum q_k(p) + eps), over all pixels p that have cell s among their nine.

    Args:
        x: [B, C, H, W] on the CPU or a GPU. float16 and bfloat16 are computed in float32.
        q: [B, 9, H, W], dtype of `x`: associations of a pixel with its cell and the eight around
            it in raster order, a softmax as a rule.
        cell: side of the cells, in pixels; the last row and column may be smaller.
        border: what happens to associations with cells outside the image. "zero": they get lost.
            "renorm": those with cells inside are divided by their sum, which is what a softmax
            gives whose logits of slots outside are -inf; a pixel without any counts for nothing.
        eps: added to the sum of weights, >= 0; with 0, cells without any weight are NaN.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Returns:
        [B, C, S], cells in raster order, S = ceil(H / cell) ceil(W / cell). Differentiable in x and
        q any number of times.

    Raises:
        ValueError: wrong shapes or values; the message names the argument.
        TypeError: wrong types, dtypes or devices.
    """
    _check_values("x", x, 4, "[B, C, H, W]")
    _check_associations(q, x.shape[0], x.shape[2:], "x", x)
    side, count = _cell(cell), _threads(threads)
    _checked("eps", eps, lambda e: 0 <= e < float("inf"), "a number >= 0")
    _choice("border", border, BORDERS)
    values, weights = _computed(x), _computed(q)
    ones = torch.ones_like(values[:, :1])
    if border == "renorm":
        ones = inside_share(weights, side, count)
        values = values * ones
    sums = soft_pool_op(weights, values, side, count)
    mass = soft_pool_op(weights, ones, side, count)
    return (sums / (mass + eps)).to(x.dtype)


def soft_superpixel_unpool(
    z: torch.Tensor,
    q: torch.Tensor,
    cell: int = 16,
    *,
    border: str = "zero",
    threads: int | None = None,
) -> torch.Tensor:
    """Every pixel gets the mean of the nine cells around it (Eq 4.2b).

    y_p = sum over k of q_k(p) z(s_k(p)), over cells inside the image.

    Args:
        z: [B, C, S] on the CPU or a GPU, what `soft_superpixel_pool` returns. float16 and bfloat16
            are computed in float32.
        q: [B, 9, H, W], dtype of `z`, as for `soft_superpixel_pool`.
        cell: side of the cells, in pixels.
        border: as for `soft_superpixel_pool`: "zero" makes values smaller where q reaches outside,
            "renorm" divides them by what q gives to cells inside.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Returns:
        [B, C, H, W]. Differentiable in z and q any number of times.

    Raises:
        ValueError: wrong shapes or values; the message names the argument.
        TypeError: wrong types, dtypes or devices.
    """
    _check_values("z", z, 3, "[B, C, S]")
    _check_associations(q, z.shape[0], None, "z", z)
    side = _cell(cell)
    rows, columns = -(-q.shape[2] // side), -(-q.shape[3] // side)
    if z.shape[2] != rows * columns:
        raise ValueError(
            f"z: expected {rows} x {columns} cells of {side} pixels for q of shape "
            f"{list(q.shape)}, got shape {list(z.shape)}"
        )
    _choice("border", border, BORDERS)
    weights, count = _computed(q), _threads(threads)
    y = soft_unpool_op(weights, _computed(z), side, count)
    if border == "renorm":
        y = y * inside_share(weights, side, count)
    return y.to(z.dtype)


def superpixel_ids(q: torch.Tensor, cell: int = 16) -> torch.Tensor:
    """The cell that each pixel is associated with most: hard superpixels of soft ones.

    Args:
        q: [B, 9, H, W] as for `soft_superpixel_pool`, on any device. The lowest slot wins a tie,
            and wherever there is a NaN.
        cell: side of the cells, in pixels.

    Returns:
        ids [B, H, W] int64 in 0..ceil(H / cell) ceil(W / cell) - 1. A slot outside the image stands
        for the nearest cell inside. Superpixels may be empty, or in several pieces.

    Raises:
        ValueError, TypeError: as `soft_superpixel_pool`.
    """
    if not isinstance(q, torch.Tensor):
        raise TypeError(f"q: expected a tensor [B, 9, H, W], got {type(q).__name__}")
    if q.dim() != 4 or q.shape[1] != 9 or 0 in q.shape:
        raise ValueError(f"q: expected [B, 9, H, W], got shape {list(q.shape)}")
    side = _cell(cell)
    height, width = q.shape[2:]
    slot = (q == q.amax(1, keepdim=True)).to(torch.uint8).argmax(1)  # the first of equals
    rows, columns = -(-height // side), -(-width // side)
    y = torch.arange(height, device=q.device).view(-1, 1) // side + slot // 3 - 1
    x = torch.arange(width, device=q.device) // side + slot % 3 - 1
    return y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)


def inside_share(q: torch.Tensor, cell: int, threads: int) -> torch.Tensor:
    """1 / sum of q over slots inside the image, [B, 1, H, W]; 1 where there are none."""
    rows, columns = -(-q.shape[2] // cell), -(-q.shape[3] // cell)
    inside = soft_unpool_op(q, q.new_ones((q.shape[0], 1, rows * columns)), cell, threads)
    return torch.where(inside > 0, inside, torch.ones_like(inside)).reciprocal()


# ---------------------------------------------------------------- checks


def _cell(cell: int) -> int:
    if _integer("cell", cell) < 1:
        raise ValueError(f"cell: expected a number >= 1, got {cell}")
    return int(cell)


def _check_associations(
    q: object, batch: int, size: torch.Size | None, name: str, of: torch.Tensor
) -> None:
    _check_values("q", q, 4, "[B, 9, H, W]")
    assert isinstance(q, torch.Tensor)
    if q.device != of.device:
        raise TypeError(f"q: expected a tensor on {of.device} as {name}, got one on {q.device}")
    if q.dtype != of.dtype:
        raise TypeError(f"q: expected dtype {of.dtype} as {name}, got {q.dtype}")
    if q.shape[0] != batch or q.shape[1] != 9 or (size is not None and q.shape[2:] != size):
        wanted = [batch, 9, *size] if size is not None else [batch, 9, "H", "W"]
        raise ValueError(
            f"q: expected shape {wanted} with {name} of shape {list(of.shape)}, got {list(q.shape)}"
        )
