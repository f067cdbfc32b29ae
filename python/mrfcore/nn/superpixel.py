# SPDX-License-Identifier: Apache-2.0
"""Superpixels as modules: pooling, unpooling, and logits made consistent within them."""

from __future__ import annotations

import torch

from mrfcore._scalars import _checked, _choice, _flag, _integer, _threads
from mrfcore.ops.soft_superpixel import (
    BORDERS,
    _cell,
    soft_superpixel_pool,
    soft_superpixel_unpool,
)
from mrfcore.ops.superpixel import logit_consistency, superpixel_pool, superpixel_unpool

__all__ = [
    "LogitConsistency",
    "SoftSuperpixelPool",
    "SoftSuperpixelUnpool",
    "SuperpixelPool",
    "SuperpixelUnpool",
]


class SuperpixelPool(torch.nn.Module):
    """Mean, sum or maximum over every superpixel (Eq 4.13); see docs/operators/superpixel.md.

    Args:
        num: how many superpixels, S: above every id, of which `slic` may give a few more than it
            was asked for. None: the largest id + 1 of the input, which torch.compile cannot know
            beforehand.
        reduce: "mean", "sum" or "max".
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        x [B, C, H, W] and ids [B, H, W] (int32 or int64, in 0..S-1) to [B, C, S]. Empty
        superpixels are 0.

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self, num: int | None = None, reduce: str = "mean", *, threads: int | None = None
    ) -> None:
        super().__init__()
        if num is not None and _integer("num", num) < 1:
            raise ValueError(f"num: expected None or a number >= 1, got {num}")
        _threads(threads)
        self.num = num
        self.reduce = _choice("reduce", reduce, ("mean", "sum", "max"))
        self.threads = threads

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """[B, C, S]."""
        return superpixel_pool(x, ids, self.num, self.reduce, threads=self.threads)

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"num={self.num}, reduce={self.reduce!r}"


class SuperpixelUnpool(torch.nn.Module):
    """Every pixel gets the value of its superpixel (Eq 4.14); see docs/operators/superpixel.md.

    Args:
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        z [B, C, S] and ids [B, H, W] (int32 or int64, in 0..S-1) to [B, C, H, W].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        super().__init__()
        _threads(threads)
        self.threads = threads

    def forward(self, z: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W]."""
        return superpixel_unpool(z, ids, threads=self.threads)


class LogitConsistency(torch.nn.Module):
    """Logits become their mean over the superpixel (Eq 4.13-4.14); docs/operators/superpixel.md.

    The last layer of a segmentation network: labels then follow the superpixels' boundaries.

    Args:
        empty: what a superpixel without a valid pixel gets: "keep" its own logits, or "zero".
        valid_in_eval: heed `valid` in eval mode, too. By default only training does: a mask made
            from true labels tells the network where they are.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        x [B, C, H, W], ids [B, H, W] (int32 or int64, from 0 on) and perhaps valid [B, H, W] bool,
        the pixels that count in the means, to [B, C, H, W].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self, empty: str = "keep", *, valid_in_eval: bool = False, threads: int | None = None
    ) -> None:
        super().__init__()
        _threads(threads)
        self.empty = _choice("empty", empty, ("keep", "zero"))
        self.valid_in_eval = _flag("valid_in_eval", valid_in_eval)
        self.threads = threads

    def forward(
        self, x: torch.Tensor, ids: torch.Tensor, valid: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[B, C, H, W]; all pixels of a superpixel have the same bits."""
        heeded = valid if self.training or self.valid_in_eval else None
        return logit_consistency(x, ids, heeded, empty=self.empty, threads=self.threads)

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"empty={self.empty!r}" + (", valid_in_eval=True" if self.valid_in_eval else "")


class SoftSuperpixelPool(torch.nn.Module):
    """Weighted means over cells, nine weights a pixel (Eq 4.2a); see docs/operators/superpixel.md.

    Args:
        cell: side of the cells, D, in pixels.
        border: associations with cells outside the image get lost ("zero"), or those with cells
            inside are divided by their sum ("renorm").
        eps: added to the sum of weights, >= 0.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        x [B, C, H, W] and q [B, 9, H, W], a softmax as a rule, to [B, C, S] with
        S = ceil(H / D) ceil(W / D).

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        cell: int = 16,
        *,
        border: str = "zero",
        eps: float = 1e-8,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        _threads(threads)
        self.cell = _cell(cell)
        self.border = _choice("border", border, BORDERS)
        self.eps = _checked("eps", eps, lambda e: 0 <= e < float("inf"), "a number >= 0")
        self.threads = threads

    def forward(self, x: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """[B, C, S]."""
        return soft_superpixel_pool(
            x, q, self.cell, border=self.border, eps=self.eps, threads=self.threads
        )

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"cell={self.cell}, border={self.border!r}, eps={self.eps:g}"


class SoftSuperpixelUnpool(torch.nn.Module):
    """Every pixel gets the mean of its nine cells (Eq 4.2b); see docs/operators/superpixel.md.

    Args:
        cell: side of the cells, D, in pixels.
        border: associations with cells outside the image get lost ("zero"), or those with cells
            inside are divided by their sum ("renorm").
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        z [B, C, S] with S = ceil(H / D) ceil(W / D), and q [B, 9, H, W], to [B, C, H, W].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(self, cell: int = 16, *, border: str = "zero", threads: int | None = None) -> None:
        super().__init__()
        _threads(threads)
        self.cell = _cell(cell)
        self.border = _choice("border", border, BORDERS)
        self.threads = threads

    def forward(self, z: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W]."""
        return soft_superpixel_unpool(z, q, self.cell, border=self.border, threads=self.threads)

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"cell={self.cell}, border={self.border!r}"
