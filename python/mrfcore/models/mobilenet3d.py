# SPDX-License-Identifier: Apache-2.0
"""MobileNetV2 (Sandler et al. 2018) with convolutions over time (Kopuklu et al. 2019)."""

from __future__ import annotations

import torch
from torch import nn

from mrfcore._scalars import _checked
from mrfcore.models._images import count_option
from mrfcore.models._registry import register
from mrfcore.models._volumes import check_volume, glorot_

__all__ = ["MobileNetV23d"]

torch.fx.wrap("check_volume")

_WIDTH = 32
# Expansion, channels, blocks, stride of the first block (in space and time).
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_LAST = 1280


@register("mobilenetv2-3d", summary="classifier", input_shape=(3, 16, 112, 112))
class MobileNetV23d(nn.Module):
    """MobileNetV2 for clips: 52 convolutions, 17 of them depthwise ones of 3 x 3 x 3.

    The first convolution halves height and width, four of the stages halve the time too.
    Parameters are named as in the authors' code, whose checkpoints load by name.

    Args:
        num_labels: classes, >= 1.
        width: channels of the first convolution, >= 1; 32 is the published network, and all other
            channels go with it.
        in_channels: of the clip, >= 1.
        dropout: share of the features dropped in training, 0..1.

    Shape:
        clips [B, in_channels, frames, H, W] of any size to logits [B, num_labels].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        *,
        num_labels: int = 101,
        width: int = _WIDTH,
        in_channels: int = 3,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        width = count_option("width", width)
        self.in_channels = count_option("in_channels", in_channels)
        count_option("num_labels", num_labels)
        share = _checked("dropout", dropout, lambda p: 0 <= p < 1, "a number in 0..1, below 1")
        layers: list[nn.Module] = [_conv(self.in_channels, width, 3, (1, 2, 2))]
        incoming = width
        for expansion, channels, blocks, stride in _STAGES:
            outgoing = _scaled(channels, width)
            for block in range(blocks):
                step = 1 if block else stride
                layers.append(_InvertedResidual(incoming, outgoing, expansion, step))
                incoming = outgoing
        last = _scaled(_LAST, width)
        layers.append(_conv(incoming, last, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(share), nn.Linear(last, num_labels))
        glorot_(self)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """Logits [B, num_labels]."""
        check_volume("clip", clip, self.in_channels, (1, 1, 1))
        logits: torch.Tensor = self.classifier(self.features(clip).mean((2, 3, 4)))
        return logits


class _InvertedResidual(nn.Module):
    """To more channels, a depthwise convolution, and back; the input is added where it fits."""

    def __init__(self, incoming: int, outgoing: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = incoming * expansion
        expanded = [] if expansion == 1 else [*_conv(incoming, inner, 1)]
        self.conv = nn.Sequential(
            *expanded,
            *_conv(inner, inner, 3, stride, groups=inner),
            nn.Conv3d(inner, outgoing, 1, bias=False),
            nn.BatchNorm3d(outgoing),
        )
        self.residual = stride == 1 and incoming == outgoing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        return x + y if self.residual else y


def _conv(
    incoming: int, outgoing: int, size: int, stride: int | tuple[int, int, int] = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(incoming, outgoing, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm3d(outgoing),
        nn.ReLU6(inplace=True),
    )


def _scaled(channels: int, width: int) -> int:
    return max(1, channels * width // _WIDTH)
