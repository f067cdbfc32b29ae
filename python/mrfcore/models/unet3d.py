# SPDX-License-Identifier: Apache-2.0
"""3D U-Nets (Cicek et al. 2016) with 15 and 23 layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mrfcore._scalars import _flag
from mrfcore.models._images import count_option
from mrfcore.models._registry import register
from mrfcore.models._volumes import check_volume, glorot_

__all__ = ["UNet3d"]

torch.fx.wrap("check_volume")  # a graph calls it with tensors, and does not look into it


class UNet3d(nn.Module):
    """A 3D U-Net: two 3 x 3 x 3 convolutions at every level on the way down and on the way up.

    Level l has min(width * 2^l, max_channels) channels; the first convolution on its way down has
    half as many, or as many as its input where that is more. Each convolution is followed by batch
    normalisation and ReLU. The volume is halved by max pooling, enlarged again by repeating
    voxels, and joined with the features of that size, which come first. A 1 x 1 x 1 convolution
    makes the logits. With n levels there are 4 n - 1 convolutions.

    Args:
        levels: sizes of the volume, 2..8: 4 in the network with 15 layers, 6 in that with 23.
        width: channels of the first level, >= 2; 64 for ShapeNet, 32 for BraTS'18.
        in_channels: of the volume, >= 1.
        num_labels: L >= 1.
        max_channels: of any level, >= 2.
        softmax: in eval mode give probabilities; in training mode these are logits in any case.

    Shape:
        volumes [B, in_channels, D, H, W], each size at least 2^(levels - 1), to [B, L, D, H, W].
        Sizes need not be multiples of anything.

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        *,
        levels: int = 4,
        width: int = 64,
        in_channels: int = 1,
        num_labels: int = 50,
        max_channels: int = 1024,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        self.levels = count_option("levels", levels)
        if not 2 <= self.levels <= 8:
            raise ValueError(f"levels: expected 2..8, got {levels}")
        if count_option("width", width) < 2 or count_option("max_channels", max_channels) < 2:
            raise ValueError(
                f"width, max_channels: expected numbers >= 2, got {width} and {max_channels}"
            )
        self.in_channels = count_option("in_channels", in_channels)
        self.num_labels = count_option("num_labels", num_labels)
        channels = [min(width * 2**level, max_channels) for level in range(self.levels)]
        self.encoders = nn.ModuleList()
        incoming = self.in_channels
        for outgoing in channels:
            first = max(outgoing // 2, incoming)
            self.encoders.append(_pair(incoming, first, outgoing))
            incoming = outgoing
        self.pool = nn.MaxPool3d(2)
        self.decoders = nn.ModuleList()
        for outgoing in reversed(channels[:-1]):
            self.decoders.append(_pair(outgoing + incoming, outgoing, outgoing))
            incoming = outgoing
        self.head = nn.Conv3d(incoming, self.num_labels, 1)
        self.softmax = nn.Softmax(1) if _flag("softmax", softmax) else None
        glorot_(self)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Logits [B, L, D, H, W]; in eval mode probabilities where `softmax` asks for them."""
        least = 2 ** (self.levels - 1)
        check_volume("volume", volume, self.in_channels, (least, least, least))
        x, skips = self.encoders[0](volume), []
        for encoder in self.encoders[1:]:
            skips.append(x)
            x = encoder(self.pool(x))
        for decoder, skip in zip(self.decoders, reversed(skips), strict=True):
            x = nn.functional.interpolate(x, size=skip.shape[2:], mode="nearest")
            x = decoder(torch.cat([skip, x], 1))
        logits: torch.Tensor = self.head(x)
        return logits if self.training or self.softmax is None else self.softmax(logits)


def _pair(incoming: int, between: int, outgoing: int) -> nn.Sequential:
    return nn.Sequential(_conv(incoming, between), _conv(between, outgoing))


def _conv(incoming: int, outgoing: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(incoming, outgoing, 3, padding=1, bias=False),
        nn.BatchNorm3d(outgoing),
        nn.ReLU(inplace=True),
    )


_Register = Callable[[type[UNet3d]], type[UNet3d]]
for _name, _levels in (("unet3d-15", 4), ("unet3d-23", 6)):
    _register: _Register = register(
        _name,
        summary="segmentation",
        input_shape=(1, 64, 64, 64),
        fixed={"levels": _levels},
        softmax=True,
    )
    _register(UNet3d)
_register = register(
    "unet3d-15-brats",
    summary="segmentation",
    input_shape=(4, 128, 128, 128),
    fixed={"levels": 4},
    width=32,
    in_channels=4,
    num_labels=5,
)
_register(UNet3d)
