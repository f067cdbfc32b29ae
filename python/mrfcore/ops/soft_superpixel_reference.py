# SPDX-License-Identifier: Apache-2.0
"""Soft superpixels in plain torch: one shift of the grid of cells after the other.

Slow, but the specification; autograd differentiates all of it.
"""

from __future__ import annotations

import torch

__all__ = ["soft_superpixel_pool", "soft_superpixel_unpool", "superpixel_loss"]


def _targets(height: int, width: int, cell: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Of every slot and pixel: the cell's number and whether it exists, [9, H W]; all cells."""
    rows, columns = -(-height // cell), -(-width // cell)
    slot = torch.arange(9).view(9, 1, 1)
    y = torch.arange(height).view(1, -1, 1) // cell + slot // 3 - 1
    x = torch.arange(width).view(1, 1, -1) // cell + slot % 3 - 1
    inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    number = y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)
    return number.flatten(1), inside.flatten(1), rows * columns


def _weights(q: torch.Tensor, inside: torch.Tensor, border: str) -> torch.Tensor:
    """Associations [B, 9, H W] with cells inside the image."""
    weights = q.flatten(2) * inside
    if border == "zero":
        return weights
    total = weights.sum(1, keepdim=True)
    return weights / torch.where(total > 0, total, torch.ones_like(total))


def soft_superpixel_pool(
    x: torch.Tensor, q: torch.Tensor, cell: int = 16, eps: float = 1e-8, border: str = "zero"
) -> torch.Tensor:
    """Eq 4.2a."""
    number, inside, cells = _targets(x.shape[2], x.shape[3], cell)
    weights = _weights(q, inside, border)
    sums = x.new_zeros(x.shape[0], x.shape[1], cells)
    mass = x.new_zeros(x.shape[0], 1, cells)
    for k in range(9):
        sums = sums.index_add(2, number[k], x.flatten(2) * weights[:, k : k + 1])
        mass = mass.index_add(2, number[k], weights[:, k : k + 1])
    return sums / (mass + eps)


def soft_superpixel_unpool(
    z: torch.Tensor, q: torch.Tensor, cell: int = 16, border: str = "zero"
) -> torch.Tensor:
    """Eq 4.2b."""
    number, inside, _ = _targets(q.shape[2], q.shape[3], cell)
    weights = _weights(q, inside, border)
    terms = [z[:, :, number[k]] * weights[:, k : k + 1] for k in range(9)]
    return torch.stack(terms).sum(0).unflatten(2, q.shape[2:])


def superpixel_loss(
    features: torch.Tensor,
    q: torch.Tensor,
    cell: int = 16,
    distance: str = "cross_entropy",
    compactness: float = 0.003,
    eps: float = 1e-8,
    border: str = "zero",
) -> torch.Tensor:
    """Eq 4.1 of every pixel, [B, H, W]."""
    height, width = q.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x, y]).to(q.dtype).expand(q.shape[0], -1, -1, -1)

    def rebuilt(values: torch.Tensor) -> torch.Tensor:
        means = soft_superpixel_pool(values, q, cell, eps, border)
        return soft_superpixel_unpool(means, q, cell, border)

    if distance == "cross_entropy":
        error = -(features * torch.log(rebuilt(features) + eps)).sum(1)
    else:
        error = torch.linalg.vector_norm(features - rebuilt(features), dim=1)
    moved = torch.linalg.vector_norm(places - rebuilt(places), dim=1)
    return error + compactness / cell * moved
