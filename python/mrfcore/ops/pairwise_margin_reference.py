# SPDX-License-Identifier: Apache-2.0
"""The pairwise margin loss in plain torch: all N^2 pairs, as Eq 5.2 has them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pairwise_margin_loss"]


def pairwise_margin_loss(
    x: Tensor,
    labels: Tensor,
    alpha: float = 0.5,
    *,
    weights: Tensor | None = None,
    neg_weight: float = 1.0,
    normalise: str = "N",
    ignore: int = -1,
) -> Tensor:
    """`mrfcore.ops.pairwise_margin_loss` of x [B, D, N], labels [B, N]; [B], of every item."""
    return torch.stack(
        [
            _of_item(
                x[b],
                labels[b],
                alpha,
                None if weights is None else weights[b],
                neg_weight,
                normalise,
                ignore,
            )
            for b in range(len(x))
        ]
    )


def _of_item(
    x: Tensor,
    labels: Tensor,
    alpha: float,
    weights: Tensor | None,
    neg_weight: float,
    normalise: str,
    ignore: int,
) -> Tensor:
    counted = labels != ignore
    x, labels = x[:, counted], labels[counted]
    same = labels[:, None] == labels
    w = 1 / same.sum(0).to(x.dtype) if weights is None else weights[counted]
    unit = torch.nn.functional.normalize(x, dim=0)
    s = (1 + unit.T @ unit) / 2  # Eq 5.1
    cost = torch.where(same, 1 - s, neg_weight * (s - alpha).clamp(min=0))
    others = ~torch.eye(len(labels), dtype=torch.bool)
    total = (torch.outer(w, w) * cost)[others].sum()
    return total / (max(len(labels), 1) if normalise == "N" else w.sum() ** 2)
