# SPDX-License-Identifier: Apache-2.0
"""What joint training minimises: labels, and superpixels that keep to them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

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
    if labels.shape != logits.shape[:1] + logits.shape[2:]:
        wanted = [logits.shape[0], *logits.shape[2:]]
        raise ValueError(f"labels: expected shape {wanted}, got {list(labels.shape)}")
    known = labels != void
    _check_labels(labels, known, count, void)
    total = functional.cross_entropy(logits.float(), labels, ignore_index=void, reduction="sum")
    terms = {"segmentation": total / known.sum().clamp(min=1)}
    if q is not None and superpixel_weight:
        hot = functional.one_hot(labels.where(known, 0), count).movedim(3, 1)
        loss = superpixel_loss(hot.to(q.dtype), q, cell, compactness=compactness, valid=known)
        terms["superpixels"] = superpixel_weight * loss
    return {"loss": sum(terms.values(), logits.new_zeros((), dtype=total.dtype)), **terms}


def _check_labels(labels: Tensor, known: Tensor, count: int, void: int) -> None:
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(f"labels: expected integers, got dtype {labels.dtype}")
    if labels.device.type != "cpu":
        return  # nobody waits for a GPU
    found = labels[known]
    if found.numel() and not 0 <= int(found.min()) <= int(found.max()) < count:
        raise ValueError(
            f"labels: expected 0..{count - 1} or {void}, got {int(found.min())}..{int(found.max())}"
        )
