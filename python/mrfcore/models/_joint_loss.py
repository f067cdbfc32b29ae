# SPDX-License-Identifier: Apache-2.0
"""What joint training minimises: labels, and superpixels that keep to them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mrfcore._scalars import _checked, _integer
from mrfcore.models._one_hot import label_numbers, one_hot
from mrfcore.ops.superpixel_loss import superpixel_loss

__all__ = ["joint_loss"]


def joint_loss(
    logits: Tensor,
    q: Tensor | None,
    labels: Tensor,
    cell: int,
    *,
    superpixel_weight: float,
    compactness: float,
    void: int,
) -> dict[str, Tensor]:
    """The cross-entropy of logits [B, L, H, W], the loss of q [B, 9, H, W] (Eq 4.1), and their sum.

    Labels [B, H, W] in 0..L-1, or `void`, which counts in neither; see `JointSegmentation.loss`.
    """
    count = logits.shape[1]
    numbers = label_numbers("labels", labels)
    if numbers.shape != logits.shape[:1] + logits.shape[2:]:
        wanted = [logits.shape[0], *logits.shape[2:]]
        raise ValueError(f"labels: expected shape {wanted}, got {list(numbers.shape)}")
    weight = _checked(
        "superpixel_weight", superpixel_weight, lambda w: 0 <= w < math.inf, "a finite number >= 0"
    )
    known = numbers != _integer("void", void)
    _check_labels(numbers, known, count, void)
    total = functional.cross_entropy(logits.float(), numbers, ignore_index=void, reduction="sum")
    terms = {"segmentation": total / known.sum().clamp(min=1)}
    if q is not None and weight:
        # Void is a label of its own for the superpixels around it: none of the others is pulled in.
        hot = one_hot(numbers.where(known, count), count + 1, _wide(q))
        loss = superpixel_loss(hot, q, cell, compactness=compactness, valid=known)
        terms["superpixels"] = weight * loss
    return {"loss": sum(terms.values(), logits.new_zeros((), dtype=total.dtype)), **terms}


def _wide(q: Tensor) -> torch.dtype:
    """That in which the loss of q is computed."""
    return torch.float64 if q.dtype == torch.float64 else torch.float32


def _check_labels(labels: Tensor, known: Tensor, count: int, void: int) -> None:
    if labels.device.type != "cpu":
        return  # nobody waits for a GPU
    found = labels[known]
    if found.numel() and not 0 <= int(found.min()) <= int(found.max()) < count:
        raise ValueError(
            f"labels: expected 0..{count - 1} or {void}, got {int(found.min())}..{int(found.max())}"
        )
