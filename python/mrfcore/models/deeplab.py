# SPDX-License-Identifier: Apache-2.0
"""DeepLabV3+ (Chen et al. 2018) on ResNets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mrfcore._scalars import _checked, _flag
from mrfcore.models._images import check_batch, count_option
from mrfcore.models._registry import register
from mrfcore.models.resnet import STAGES, ResNet

__all__ = ["DeepLabV3Plus"]

_RATES = (6, 12, 18)  # at output stride 16; twice these at 8, as the same field of view needs


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+: a ResNet, pyramid pooling by dilated convolutions (ASPP), and a decoder.

    Features of stride `output_stride` go through five branches of 256 channels: a 1 x 1
    convolution, three 3 x 3 ones dilated by 6, 12, 18 (at stride 16; inversely at others), and
    their mean over the image. These are joined and enlarged to stride 4, where two 3 x 3
    convolutions make logits of them and of 48 channels made of the first stage's features. The
    logits are enlarged bilinearly to the image's size, whatever that is. Convolutions are plain,
    not separable.

    Args:
        depth: of the ResNet: 18, 34, 50, 101 or 152.
        num_labels: L >= 1.
        output_stride: 32, 16 or 8, of the ResNet.
        width: of the ResNet; 64 is the published network. The 256 and 48 channels above are 4 and
            0.75 times it.
        in_channels: of the image, >= 1.
        dropout: share of the joined features dropped in training, 0..1.
        norm_image_pooling: batch normalisation in the branch of the mean. It has one value per
            channel and image there: training needs a batch of two or more, and says so. False
            leaves it out, for batches of one.

    Shape:
        images [B, in_channels, H, W] to logits [B, L, H, W].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        depth: int = 50,
        *,
        num_labels: int = 21,
        output_stride: int = 16,
        width: int = 64,
        in_channels: int = 3,
        dropout: float = 0.5,
        norm_image_pooling: bool = True,
    ) -> None:
        super().__init__()
        self.num_labels = count_option("num_labels", num_labels)
        share = _checked("dropout", dropout, lambda p: 0 <= p < 1, "a number in 0..1, below 1")
        self.backbone = ResNet(
            depth,
            num_labels=None,
            output_stride=output_stride,
            width=width,
            in_channels=in_channels,
        )
        channels, low = 4 * width, max(1, 3 * width // 4)
        rates = tuple(max(1, rate * 16 // output_stride) for rate in _RATES)
        norm = _flag("norm_image_pooling", norm_image_pooling)
        self.aspp = _PyramidPooling(self.backbone.high_channels, channels, rates, share, norm)
        self.low = _conv(self.backbone.low_channels, low, 1)
        self.decoder = nn.Sequential(
            *_conv(low + channels, channels, 3), *_conv(channels, channels, 3)
        )
        self.classifier = nn.Conv2d(channels, self.num_labels, 1)
        for part in (self.aspp, self.low, self.decoder):
            _initialise(part)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits [B, L, H, W]."""
        check_batch("image", image, self.backbone.in_channels)
        self.aspp.check_trainable(image)
        low, high = self.backbone.features(image)
        context = _enlarged(self.aspp(high), low)
        logits = self.classifier(self.decoder(torch.cat([self.low(low), context], 1)))
        return _enlarged(logits, image)

    def parameter_groups(self, lr: float, head_lr: float) -> list[dict[str, Any]]:
        """For an optimiser: the ResNet learns at one rate, all that is new at another.

        >>> torch.optim.SGD(model.parameter_groups(0.007, 0.07), momentum=0.9)
        """
        backbone = list(self.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        head = [parameter for parameter in self.parameters() if id(parameter) not in known]
        return [{"params": backbone, "lr": lr}, {"params": head, "lr": head_lr}]

    def pretrained_state(self, source: str) -> dict[str, torch.Tensor]:
        """This model's weights, but the ResNet's of torchvision or timm.

        Raises:
            ImportError: it is not installed.
        """
        found = self.backbone.pretrained_state(source)
        return {**self.state_dict(), **{f"backbone.{key}": value for key, value in found.items()}}


class _PyramidPooling(nn.Module):
    """ASPP: what is around a pixel, at several distances."""

    def __init__(
        self, inputs: int, channels: int, rates: tuple[int, ...], dropout: float, norm: bool
    ) -> None:
        super().__init__()
        self.point = _conv(inputs, channels, 1)
        self.around = nn.ModuleList(_conv(inputs, channels, 3, rate) for rate in rates)
        self.pooled = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            *(_conv(inputs, channels, 1) if norm else (nn.Conv2d(inputs, channels, 1), nn.ReLU())),
        )
        self.join = _conv((2 + len(rates)) * channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = self.pooled(x).expand(-1, -1, *x.shape[2:])
        branches = [self.point(x), *(branch(x) for branch in self.around), pooled]
        return self.dropout(self.join(torch.cat(branches, 1)))

    def check_trainable(self, image: torch.Tensor) -> None:
        """Before anything is computed; synchronised normalisation sees other processes' images."""
        for module in self.pooled:
            if type(module) is nn.BatchNorm2d and module.training and image.shape[0] == 1:
                raise ValueError(
                    "image: expected a batch of two or more in training, got one, of which the "
                    "image-pooling branch cannot take statistics; give norm_image_pooling=False, "
                    "or call eval()"
                )


def _conv(inputs: int, outputs: int, size: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, 1, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _enlarged(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Bilinearly, to the height and width of another."""
    return nn.functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def _initialise(part: nn.Module) -> None:
    """He's, as in the backbone; the classifier keeps torch's, which makes small logits."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


_Register = Callable[[type[DeepLabV3Plus]], type[DeepLabV3Plus]]
for _depth in STAGES:
    _register: _Register = register(
        f"deeplabv3plus-resnet{_depth}",
        summary="segmentation",
        input_shape=(3, 512, 512),
        fixed={"depth": _depth},
    )
    _register(DeepLabV3Plus)
