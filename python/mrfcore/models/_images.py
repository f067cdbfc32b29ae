# SPDX-License-Identifier: Apache-2.0
"""What models for images check."""

from __future__ import annotations

import torch

from mrfcore._scalars import _integer

__all__ = ["check_batch", "count_option"]


def check_batch(name: str, image: object, channels: int) -> None:
    """Raise unless it is [B, channels, H, W] of floats, without an empty axis."""
    if not isinstance(image, torch.Tensor):
        raise TypeError(
            f"{name}: expected a tensor [B, {channels}, H, W], got {type(image).__name__}"
        )
    if not image.is_floating_point():
        raise TypeError(f"{name}: expected floats, got dtype {image.dtype}")
    if image.dim() != 4 or image.shape[1] != channels or 0 in image.shape:
        raise ValueError(
            f"{name}: expected [B, {channels}, H, W], all sizes at least 1, got shape "
            f"{list(image.shape)}"
        )


def count_option(name: str, value: int) -> int:
    """A number of channels or labels, >= 1."""
    number = _integer(name, value)
    if number < 1:
        raise ValueError(f"{name}: expected a number >= 1, got {number}")
    return number
