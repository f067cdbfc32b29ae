# SPDX-License-Identifier: Apache-2.0
"""What networks for volumes and clips share: the check of their inputs, and how they begin."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["check_volume", "glorot_"]

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose3d, nn.Linear)


def check_volume(name: str, volume: object, channels: int, least: tuple[int, int, int]) -> None:
    """Raise unless it is [B, channels, D, H, W] of floats, of at least these sizes."""
    if not isinstance(volume, torch.Tensor):
        raise TypeError(
            f"{name}: expected a tensor [B, {channels}, D, H, W], got {type(volume).__name__}"
        )
    if not volume.is_floating_point():
        raise TypeError(f"{name}: expected floats, got dtype {volume.dtype}")
    whole = volume.dim() == 5 and volume.shape[1] == channels and volume.shape[0] > 0
    if not whole or any(size < n for size, n in zip(volume.shape[2:], least, strict=True)):
        raise ValueError(
            f"{name}: expected [B, {channels}, D, H, W] with D, H, W of at least "
            f"{', '.join(map(str, least))}, got shape {list(volume.shape)}"
        )


def glorot_(model: nn.Module) -> None:
    """Glorot's normal initialisation of all weights, as the thesis trains these networks."""
    for module in model.modules():
        if isinstance(module, _CONVOLUTIONS):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
