# SPDX-License-Identifier: Apache-2.0
"""Edge weights from superpixels: a labelling should change where superpixels do."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from mrfcore._images import fraction
from mrfcore._scalars import _integer
from mrfcore._stereo_costs import _PAIRS
from mrfcore.ops.soft_superpixel import _cell

__all__ = ["SuperpixelEdges"]


class SuperpixelEdges(torch.nn.Module):
    """Weights w_ij = floor + (1 - floor) P(i and j lie in the same superpixel), for all edges.

    For soft superpixels P = sum over cells s of q_s(i) q_s(j), the chance that both pixels choose
    the same one; it is differentiable, so a loss behind a message-passing layer moves the contours.
    For ids P is 1 or 0. This couples superpixels and MRF, which the thesis that both come from
    leaves as future work (section 6.2).

    Args:
        connectivity: 4, 8 or 16, as of the layer.
        cell: side of the cells of soft superpixels, in pixels.
        floor: weight across a contour, in [0, 1].

    Shape:
        q [B, 9, H, W] float, as for `SoftSuperpixelPool`, or ids [B, H, W] of integers, to
        [B, P, H, W], P = connectivity / 2. Entry [p, y, x] belongs to the edge
        (y, x) - (y + dy, x + dx), (dy, dx) = (0,1) (1,0) | (1,1) (1,-1) | (1,2) (2,1) (2,-1)
        (1,-2), and is 0 where that leaves the image.

    Raises:
        ValueError, TypeError: an argument of the wrong value, type or shape.
    """

    def __init__(self, connectivity: int = 4, *, cell: int = 16, floor: float = 0.1) -> None:
        super().__init__()
        self.connectivity = _integer("connectivity", connectivity)
        if self.connectivity not in (4, 8, 16):
            raise ValueError(f"connectivity: expected 4, 8 or 16, got {connectivity}")
        self.cell = _cell(cell)
        self.floor = fraction("floor", floor)

    def forward(self, superpixels: Tensor) -> Tensor:
        """Weights [B, P, H, W]: in the dtype of q, float32 for ids."""
        soft = _check(superpixels)
        steps = _PAIRS[: self.connectivity // 2]
        return torch.stack([self._plane(superpixels, dy, dx, soft) for dy, dx in steps], 1)

    def _plane(self, superpixels: Tensor, dy: int, dx: int, soft: bool) -> Tensor:
        """Weights of one direction pair, [B, H, W]."""
        height, width = superpixels.shape[-2:]
        left, right = max(0, -dx), max(0, dx)
        if dy >= height or abs(dx) >= width:
            dtype = superpixels.dtype if soft else torch.float32
            return superpixels.new_zeros(superpixels.shape[0], height, width, dtype=dtype)
        owner = superpixels[..., : height - dy, left : width - right]
        other = superpixels[..., dy:, right : width - left]
        same = self._chance(owner, other, left, dy, dx) if soft else (owner == other).float()
        weight = self.floor + (1 - self.floor) * same
        return torch.nn.functional.pad(weight, (left, right, 0, dy))

    def _chance(self, owner: Tensor, other: Tensor, left: int, dy: int, dx: int) -> Tensor:
        """sum_s q_s(i) q_s(j): the slots of j are those of i moved by the cells between them."""
        rows = _steps(owner.shape[2], 0, dy, self.cell, owner.device)
        columns = _steps(owner.shape[3], left, dx, self.cell, owner.device)
        ours, theirs = (q.unflatten(1, (3, 3)) for q in (owner, other))
        total = owner.new_zeros(owner.shape[0], *owner.shape[2:])
        for (down, here), (across, there) in itertools.product(rows, columns):
            if abs(down) > 2 or abs(across) > 2:
                continue  # no cell is near both
            top, side = max(0, down), max(0, across)
            tall, wide = 3 - abs(down), 3 - abs(across)
            mine = ours[:, top : top + tall, side : side + wide]
            match = theirs[:, top - down : top - down + tall, side - across : side - across + wide]
            total = total + (mine * match).sum((1, 2)) * (here[:, None] & there)
        return total

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"connectivity={self.connectivity}, cell={self.cell}, floor={self.floor:g}"


def _steps(
    size: int, first: int, step: int, cell: int, device: torch.device
) -> list[tuple[int, Tensor]]:
    """Cells between a pixel and the one `step` on, and where on an axis there are so many."""
    place = torch.arange(first, first + size, device=device)
    between = (place + step) // cell - place // cell
    low, high = sorted((step // cell, -(-step // cell)))
    return [(count, between == count) for count in range(low, high + 1)]


def _check(superpixels: object) -> bool:
    """Whether they are soft."""
    if not isinstance(superpixels, Tensor):
        raise TypeError(
            f"superpixels: expected a tensor q [B, 9, H, W] or ids [B, H, W], got "
            f"{type(superpixels).__name__}"
        )
    soft = superpixels.is_floating_point()
    if superpixels.is_complex() or superpixels.dtype == torch.bool:
        raise TypeError(f"superpixels: expected floats or integers, got dtype {superpixels.dtype}")
    wanted = 4 if soft else 3
    if (
        superpixels.dim() != wanted
        or 0 in superpixels.shape
        or (soft and superpixels.shape[1] != 9)
    ):
        shape = "q [B, 9, H, W] of floats" if soft else "ids [B, H, W] of integers"
        raise ValueError(f"superpixels: expected {shape}, got shape {list(superpixels.shape)}")
    return soft
