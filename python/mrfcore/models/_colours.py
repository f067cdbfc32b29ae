# SPDX-License-Identifier: Apache-2.0
"""CIE L*a*b* of images in torch, with gradients."""

from __future__ import annotations

import torch

__all__ = ["lab_of"]

# sRGB (IEC 61966-2-1) to CIE XYZ under D65, divided by the white point (0.95047, 1, 1.08883).
_TO_XYZ = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)
_LINEAR_BELOW = 0.04045
_CUBIC_FROM = 0.008856  # (6 / 29)^3


def lab_of(image: torch.Tensor) -> torch.Tensor:
    """L* (0..100), a*, b* of sRGB in 0..1, both [B, 3, H, W]; half types become float32."""
    rgb = image if image.dtype == torch.float64 else image.float()
    # Clamped in the branch not taken: its gradient would be NaN at 0, and 0 times NaN is NaN.
    gamma = ((rgb.clamp(min=_LINEAR_BELOW) + 0.055) / 1.055) ** 2.4
    linear = torch.where(rgb > _LINEAR_BELOW, gamma, rgb / 12.92)
    xyz = torch.einsum("ij,bjhw->bihw", linear.new_tensor(_TO_XYZ), linear)
    root = xyz.clamp(min=_CUBIC_FROM) ** (1 / 3)
    f = torch.where(xyz > _CUBIC_FROM, root, 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)
