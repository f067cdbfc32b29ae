# SPDX-License-Identifier: Apache-2.0
"""Superpixel pooling in plain torch, by the matrix that it is: slow, but the specification.

M[b, s, p] = 1 where pixel p belongs to superpixel s, dense, so for small images only. Autograd
differentiates all of it.
"""

from __future__ import annotations

import torch

__all__ = ["logit_consistency", "superpixel_pool", "superpixel_unpool"]


def membership(ids: torch.Tensor, num: int, dtype: torch.dtype) -> torch.Tensor:
    """M, [B, S, H W]."""
    numbers = torch.arange(num, device=ids.device).view(1, num, 1)
    return (ids.flatten(1)[:, None] == numbers).to(dtype)


def superpixel_pool(
    x: torch.Tensor, ids: torch.Tensor, num: int, reduce: str = "mean"
) -> torch.Tensor:
    """Eq 4.13: M x for the sum, D^-1 M x for the mean, D = diag(pixels of each)."""
    members = membership(ids, num, x.dtype)
    flat = x.flatten(2)
    if reduce == "max":
        # One superpixel at a time; argmax picks a first maximum as the definition asks for.
        inside = members[:, None].bool()
        masked = torch.where(inside, flat[:, :, None], -torch.inf)
        first = (masked == masked.amax(3, keepdim=True)).to(torch.uint8).argmax(3)
        largest = masked.gather(3, first[..., None])[..., 0]
        return torch.where(inside.any(3), largest, torch.zeros_like(largest))
    sums = torch.einsum("bsp,bcp->bcs", members, flat)
    if reduce == "sum":
        return sums
    return sums / members.sum(2).clamp(min=1)[:, None]


def superpixel_unpool(z: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Eq 4.14: M^T z."""
    members = membership(ids, z.shape[2], z.dtype)
    return torch.einsum("bsp,bcs->bcp", members, z).unflatten(2, ids.shape[1:])


def logit_consistency(
    x: torch.Tensor, ids: torch.Tensor, valid: torch.Tensor | None = None, empty: str = "keep"
) -> torch.Tensor:
    """Eq 4.13-4.14: M^T D_v^-1 M diag(v) x; where no pixel is valid, x or 0."""
    num = int(ids.max()) + 1
    v = torch.ones_like(ids, dtype=x.dtype) if valid is None else valid.to(x.dtype)
    counts = superpixel_pool(v[:, None], ids, num, "sum")
    means = superpixel_pool(x * v[:, None], ids, num, "sum") / counts.clamp(min=1)
    nobody = superpixel_unpool(counts, ids) == 0
    other = x if empty == "keep" else torch.zeros_like(x)
    return torch.where(nobody, other, superpixel_unpool(means, ids))
