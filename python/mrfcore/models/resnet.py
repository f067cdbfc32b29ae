# SPDX-License-Identifier: Apache-2.0
"""ResNets (He et al. 2016) with torchvision's names, as classifiers and as backbones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from mrfcore._scalars import _choice, _integer
from mrfcore.models._images import check_batch, count_option
from mrfcore.models._pretrained import resnet_state
from mrfcore.models._registry import register

__all__ = ["ResNet"]

# Blocks in each of the four stages; from 50 on they are bottlenecks of three convolutions.
STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
STAGES[152] = (3, 8, 36, 3)
_PUBLISHED_WIDTH = 64


class ResNet(nn.Module):
    """ResNet-18, 34, 50, 101 or 152.

    Parameters have the names and shapes of torchvision's and timm's, so that state dicts of either
    load by name; those of a classifier into a backbone as well, which leaves ``fc`` out. Strides
    are where torchvision has them: in the 3 x 3 convolution of a bottleneck.

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_labels: classes of the classifier `fc`, >= 1. None: there is none.
        output_stride: 32, 16 or 8: pixels of the image per pixel of the last features. Below 32 the
            last stages dilate their convolutions instead of striding.
        width: channels of the first stage, >= 1; 64 is the published network, 8 a toy.
        in_channels: of the image, >= 1.

    Shape:
        images [B, in_channels, H, W] to logits [B, num_labels]; without a classifier to the means
        of the last features, [B, high_channels].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        depth: int = 50,
        *,
        num_labels: int | None = 1000,
        output_stride: int = 32,
        width: int = _PUBLISHED_WIDTH,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.depth: int = _choice("depth", _integer("depth", depth), tuple(STAGES))
        self.output_stride: int = _choice("output_stride", output_stride, (8, 16, 32))
        width = count_option("width", width)
        self.in_channels = count_option("in_channels", in_channels)
        if num_labels is not None:
            count_option("num_labels", num_labels)
        block = _BasicBlock if depth < 50 else _Bottleneck
        self.low_channels = width * block.expansion
        self.high_channels = 8 * width * block.expansion
        self.conv1 = nn.Conv2d(self.in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages = _Stages(block, width, self.output_stride)
        blocks = STAGES[self.depth]
        self.layer1 = stages.next(width, blocks[0], 1)
        self.layer2 = stages.next(2 * width, blocks[1], 2)
        self.layer3 = stages.next(4 * width, blocks[2], 2)
        self.layer4 = stages.next(8 * width, blocks[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = None if num_labels is None else nn.Linear(self.high_channels, num_labels)
        _initialise(self)

    def features(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the first and of the last stage.

        Args:
            image: [B, in_channels, H, W] of floats.

        Returns:
            [B, low_channels, ceil(H / 4), ceil(W / 4)] and, with s = output_stride,
            [B, high_channels, ceil(H / s), ceil(W / s)].

        Raises:
            ValueError, TypeError: not such a tensor.
        """
        check_batch("image", image, self.in_channels)
        low = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(image)))))
        return low, self.layer4(self.layer3(self.layer2(low)))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[B, num_labels], or [B, high_channels] without a classifier."""
        pooled: torch.Tensor = self.avgpool(self.features(image)[1]).flatten(1)
        return pooled if self.fc is None else self.fc(pooled)

    def adapt_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Weights as this module has them: without a classifier where it has none."""
        return {k: v for k, v in state.items() if self.fc is not None or not k.startswith("fc.")}

    def pretrained_state(self, source: str) -> dict[str, torch.Tensor]:
        """The weights for ImageNet that an installed torchvision or timm has, or downloads.

        Raises:
            ImportError: it is not installed.
        """
        return self.adapt_state(resnet_state(source, self.depth))


class _BasicBlock(nn.Module):
    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int, first_dilation: int, dilation: int
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, width, stride, first_dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, 1, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class _Bottleneck(nn.Module):
    expansion = 4

    def __init__(
        self, inputs: int, width: int, stride: int, first_dilation: int, dilation: int
    ) -> None:
        del dilation  # of convolutions after the first one of 3 x 3, which are all of 1 x 1
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride, first_dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class _Stages:
    """Makes one stage after the other and remembers where it is."""

    def __init__(
        self, block: type[_BasicBlock] | type[_Bottleneck], inputs: int, output_stride: int
    ) -> None:
        self._block = block
        self._inputs = inputs
        self._left = output_stride // 4  # the factor by which strides may still shrink the image
        self._dilation = 1

    def next(self, width: int, blocks: int, stride: int) -> nn.Sequential:
        # Up to where it would stride, the first block's inputs are as dense as before.
        first_dilation = self._dilation
        if stride > self._left:
            self._dilation *= stride
            stride = 1
        self._left //= stride
        made = []
        for index in range(blocks):
            if index == 1:
                stride, first_dilation = 1, self._dilation
            made.append(self._block(self._inputs, width, stride, first_dilation, self._dilation))
            self._inputs = width * self._block.expansion
        return nn.Sequential(*made)


def _conv3x3(inputs: int, outputs: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """None where the input can be added as it is."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _initialise(model: nn.Module) -> None:
    """He's initialisation, as torchvision's."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


_Register = Callable[[type[ResNet]], type[ResNet]]
for _depth in STAGES:
    _register: _Register = register(
        f"resnet{_depth}",
        summary="classifier",
        input_shape=(3, 224, 224),
        fixed={"depth": _depth},
    )
    _register(ResNet)
