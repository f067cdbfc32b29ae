# SPDX-License-Identifier: Apache-2.0
"""The loss that teaches a network to draw superpixels (Eq 4.1)."""

from __future__ import annotations

import math

import torch

from mrfcore._scalars import _checked, _choice
from mrfcore.ops.soft_superpixel import (
    _check_associations,
    soft_superpixel_pool,
    soft_superpixel_unpool,
)
from mrfcore.ops.superpixel import _check_values, check_mask

__all__ = ["superpixel_loss"]


def superpixel_loss(
    features: torch.Tensor,
    q: torch.Tensor,
    cell: int = 16,
    *,
    distance: str = "cross_entropy",
    compactness: float = 0.003,
    valid: torch.Tensor | None = None,
    border: str = "zero",
    eps: float = 1e-8,
    reduction: str = "mean",
    threads: int | None = None,
) -> torch.Tensor:
    """How far pixels are from what their soft superpixels make of them (Eq 4.1).

    With f' and c' the features f and the positions c = (x, y) of pixels after pooling and unpooling
    (Eq 4.2), the loss of a pixel is

        E(f, f') + compactness / cell |c - c'|,   E = -sum_k f_k log(f'_k + eps)  "cross_entropy"
                                                  E = |f - f'|                    "l2"

    A network learns associations q by it: superpixels become uniform in f, and stay compact.

    Args:
        features: f, [B, K, H, W]: for the cross-entropy, distributions over K labels, such as
            ``one_hot(labels, K).movedim(3, 1).float()``; for "l2" any properties, such as CIELAB
            colours. Pooled as they are: a label for pixels without one must be chosen, and `valid`
            leave them out.
        q: [B, 9, H, W], as for `soft_superpixel_pool`. All is float64 where either tensor is, else
            float32.
        cell: D, side of the cells, in pixels.
        distance: E, "cross_entropy" or "l2".
        compactness: m, >= 0, the weight of positions.
        valid: [B, H, W] bool: pixels whose loss counts; all are pooled. None: all count.
        border: "zero" or "renorm", as for `soft_superpixel_pool`. With "zero" f' and c' lack what q
            gives to cells outside the image, which the loss punishes.
        eps: > 0, in the logarithm and the quotient of the pooling.
        reduction: "mean" over the pixels that count, 0 if none does; "sum", as printed; or "none".
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.

    Returns:
        A number, or [B, H, W] for "none", where pixels that do not count are 0. Differentiable in
        features and q; a distance of exactly 0 passes no gradient.

    Raises:
        ValueError: wrong shapes or values; the message names the argument.
        TypeError: wrong types, dtypes or devices.

    Source: Yang et al. 2020, Superpixel segmentation with fully convolutional networks. The code
    released with the thesis averages E over the K labels, too: its m is K times this one.
    """
    _check_values("features", features, 4, "[B, K, H, W]")
    _check_values("q", q, 4, "[B, 9, H, W]")
    dtype = torch.float64 if torch.float64 in (features.dtype, q.dtype) else torch.float32
    f, weights = features.to(dtype), q.to(dtype)
    _check_associations(weights, f.shape[0], f.shape[2:], "features", f)
    _choice("distance", distance, ("cross_entropy", "l2"))
    _choice("reduction", reduction, ("mean", "sum", "none"))
    _checked("eps", eps, lambda e: 0 < e < math.inf, "a finite number > 0")
    factor = _checked("compactness", compactness, lambda m: 0 <= m < math.inf, "a number >= 0")
    if valid is not None:
        check_mask(valid, features)
    both = torch.cat([f, _places(f)], 1)
    means = soft_superpixel_pool(both, weights, cell, border=border, eps=eps, threads=threads)
    rebuilt = soft_superpixel_unpool(means, weights, cell, border=border, threads=threads)
    labels = f.shape[1]
    if distance == "cross_entropy":
        loss = -(f * (rebuilt[:, :labels] + eps).log()).sum(1)
    else:
        loss = torch.linalg.vector_norm(f - rebuilt[:, :labels], dim=1)
    moved = torch.linalg.vector_norm(both[:, labels:] - rebuilt[:, labels:], dim=1)
    return _reduced(loss + factor / cell * moved, valid, reduction)


def _places(like: torch.Tensor) -> torch.Tensor:
    """[B, 2, H, W]: x, y of every pixel."""
    batch, _, height, width = like.shape
    y = torch.arange(height, dtype=like.dtype, device=like.device)
    x = torch.arange(width, dtype=like.dtype, device=like.device)
    places = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    return places.expand(batch, 2, height, width)


def _reduced(loss: torch.Tensor, valid: torch.Tensor | None, reduction: str) -> torch.Tensor:
    if valid is not None:
        loss = torch.where(valid, loss, torch.zeros_like(loss))
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    return loss.mean() if valid is None else loss.sum() / valid.sum().clamp(min=1)
