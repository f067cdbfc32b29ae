# SPDX-License-Identifier: Apache-2.0
"""Parts of PSMNet: features of an image, and the hourglass."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["FeatureExtraction", "Hourglass", "conv_bn_3d"]


class FeatureExtraction(nn.Module):
    """[B, in_channels, H, W] to [B, width, H / 4, W / 4], with averages over four windows."""

    def __init__(self, in_channels: int, width: int, windows: tuple[int, ...]) -> None:
        super().__init__()
        w = width
        self.firstconv = nn.Sequential(
            _conv_bn(in_channels, w, 3, 2),
            nn.ReLU(inplace=True),
            _conv_bn(w, w, 3),
            nn.ReLU(inplace=True),
            _conv_bn(w, w, 3),
            nn.ReLU(inplace=True),
        )
        self.layer1 = _stage(w, w, 3)
        self.layer2 = _stage(w, 2 * w, 16, stride=2)
        self.layer3 = _stage(2 * w, 4 * w, 3)
        self.layer4 = _stage(4 * w, 4 * w, 3, dilation=2)
        self.branch1, self.branch2, self.branch3, self.branch4 = (
            nn.Sequential(nn.AvgPool2d(n, n), _conv_bn(4 * w, w, 1), nn.ReLU(inplace=True))
            for n in windows
        )
        self.lastconv = nn.Sequential(
            _conv_bn(10 * w, 4 * w, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * w, w, 1, bias=False),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        raw = self.layer2(self.layer1(self.firstconv(image)))
        skip = self.layer4(self.layer3(raw))
        branches = [
            nn.functional.interpolate(
                branch(skip), size=skip.shape[2:], mode="bilinear", align_corners=False
            )
            for branch in (self.branch4, self.branch3, self.branch2, self.branch1)
        ]
        features: torch.Tensor = self.lastconv(torch.cat([raw, skip, *branches], 1))
        return features


class _BasicBlock(nn.Module):
    """Two convolutions and a shortcut, without an activation at the end."""

    def __init__(self, incoming: int, outgoing: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            _conv_bn(incoming, outgoing, 3, stride, dilation), nn.ReLU(inplace=True)
        )
        self.conv2 = _conv_bn(outgoing, outgoing, 3, 1, dilation)
        plain = stride == 1 and incoming == outgoing
        self.downsample = None if plain else _conv_bn(incoming, outgoing, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv2(self.conv1(x))
        return y + (x if self.downsample is None else self.downsample(x))


class Hourglass(nn.Module):
    """Two halvings of a volume and the way back, beside the features of the hourglass before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        double = 2 * width
        self.conv1 = nn.Sequential(conv_bn_3d(width, double, 2), nn.ReLU(inplace=True))
        self.conv2 = conv_bn_3d(double, double)
        self.conv3 = nn.Sequential(conv_bn_3d(double, double, 2), nn.ReLU(inplace=True))
        self.conv4 = nn.Sequential(conv_bn_3d(double, double), nn.ReLU(inplace=True))
        self.conv5 = _deconv_bn(double, double)
        self.conv6 = _deconv_bn(double, width)
        self.relu = nn.ReLU(inplace=True)

    def forward(
        self, x: torch.Tensor, presqu: torch.Tensor | None, postsqu: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What comes out, and the features at half the size on the way down and up."""
        pre = self.conv2(self.conv1(x))
        pre = self.relu(pre if postsqu is None else pre + postsqu)
        post = self.conv5(self.conv4(self.conv3(pre)))
        post = self.relu(post + (pre if presqu is None else presqu))
        return self.conv6(post), pre, post


def conv_bn_3d(incoming: int, outgoing: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 x 3, with batch normalisation."""
    return nn.Sequential(
        nn.Conv3d(incoming, outgoing, 3, stride, 1, bias=False), nn.BatchNorm3d(outgoing)
    )


def _deconv_bn(incoming: int, outgoing: int) -> nn.Sequential:
    deconv = nn.ConvTranspose3d(
        incoming, outgoing, 3, stride=2, padding=1, output_padding=1, bias=False
    )
    return nn.Sequential(deconv, nn.BatchNorm3d(outgoing))


def _conv_bn(
    incoming: int, outgoing: int, size: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    padding = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(incoming, outgoing, size, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outgoing),
    )


def _stage(
    incoming: int, outgoing: int, blocks: int, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    first = _BasicBlock(incoming, outgoing, stride, dilation)
    rest = (_BasicBlock(outgoing, outgoing, 1, dilation) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
