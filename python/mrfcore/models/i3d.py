# SPDX-License-Identifier: Apache-2.0
"""I3D (Carreira and Zisserman 2017): Inception with convolutions over time."""

from __future__ import annotations

import torch
from torch import nn

from mrfcore._scalars import _checked
from mrfcore.models._images import count_option
from mrfcore.models._registry import register
from mrfcore.models._volumes import check_volume, glorot_

__all__ = ["I3D"]

torch.fx.wrap("check_volume")

_WIDTH = 64
# Of each Inception module: the branch of 1^3, to and after 3^3, the same again, after pooling.
_MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


@register("i3d", summary="classifier", input_shape=(3, 16, 224, 224))
class I3D(nn.Module):
    """I3D on Inception: 57 convolutions and a last one that classifies.

    Padding is TensorFlow's "same": where an odd number of zeros is needed, one more of them comes
    after than before. The features are averaged over the clip. Parameters are named as in the
    PyTorch port that the published weights are kept in, which load by name.

    Args:
        num_labels: classes, >= 1.
        width: channels of the first convolution, >= 1; 64 is the published network, and all other
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
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        width = count_option("width", width)
        self.in_channels = count_option("in_channels", in_channels)
        count_option("num_labels", num_labels)
        share = _checked("dropout", dropout, lambda p: 0 <= p < 1, "a number in 0..1, below 1")
        stem = 3 * width
        self.stages = [
            self._added("Conv3d_1a_7x7", _Unit(self.in_channels, width, 7, 2)),
            self._added("MaxPool3d_2a_3x3", _Pool((1, 3, 3), (1, 2, 2))),
            self._added("Conv3d_2b_1x1", _Unit(width, width, 1)),
            self._added("Conv3d_2c_3x3", _Unit(width, stem, 3)),
            self._added("MaxPool3d_3a_3x3", _Pool((1, 3, 3), (1, 2, 2))),
        ]
        incoming = stem
        for name, published in _MIXED.items():
            if name == "Mixed_4b":
                self.stages.append(self._added("MaxPool3d_4a_3x3", _Pool((3, 3, 3), (2, 2, 2))))
            elif name == "Mixed_5b":
                self.stages.append(self._added("MaxPool3d_5a_2x2", _Pool((2, 2, 2), (2, 2, 2))))
            channels = [max(1, n * width // _WIDTH) for n in published]
            self.stages.append(self._added(name, _Mixed(incoming, channels)))
            incoming = channels[0] + channels[2] + channels[4] + channels[5]
        self.avg_pool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(share)
        self.logits = nn.ModuleDict({"conv3d": nn.Conv3d(incoming, num_labels, 1)})
        glorot_(self)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """Logits [B, num_labels]."""
        check_volume("clip", clip, self.in_channels, (1, 1, 1))
        x = clip
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        logits: torch.Tensor = self.logits["conv3d"](self.dropout(self.avg_pool(x)))
        return logits.flatten(1)

    def _added(self, name: str, module: nn.Module) -> str:
        self.add_module(name, module)
        return name


class _Unit(nn.Module):
    """Convolution, batch normalisation and ReLU."""

    def __init__(self, incoming: int, outgoing: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self._strided = stride > 1
        self._size = (size,) * 3
        self._stride = (stride,) * 3
        padding = 0 if self._strided else size // 2  # the same on all sides unless it strides
        self.conv3d = nn.Conv3d(incoming, outgoing, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(outgoing, eps=1e-3, momentum=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self._strided:
            x = _padded(x, self._size, self._stride)
        return nn.functional.relu(self.bn(self.conv3d(x)), inplace=True)


class _Pool(nn.Module):
    """Max pooling of features that are not negative, so that zeros around them change nothing."""

    def __init__(self, size: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self._size = size
        self._stride = stride
        self.pool = nn.MaxPool3d(size, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.pool(_padded(x, self._size, self._stride))
        return pooled


class _Mixed(nn.Module):
    """An Inception module: four branches, joined."""

    def __init__(self, incoming: int, channels: list[int]) -> None:
        super().__init__()
        self.b0 = _Unit(incoming, channels[0], 1)
        self.b1a = _Unit(incoming, channels[1], 1)
        self.b1b = _Unit(channels[1], channels[2], 3)
        self.b2a = _Unit(incoming, channels[3], 1)
        self.b2b = _Unit(channels[3], channels[4], 3)
        self.b3a = nn.MaxPool3d(3, 1, 1)
        self.b3b = _Unit(incoming, channels[5], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))]
        return torch.cat(branches, 1)


def _padded(x: torch.Tensor, size: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    """TensorFlow's "same": ceil(n / stride) outputs; never negative, for size >= stride."""
    amounts = []
    for axis in (2, 1, 0):  # as `pad` takes them, from the last one
        total = size[axis] - stride[axis] + -x.shape[2 + axis] % stride[axis]
        amounts += [total // 2, total - total // 2]
    return nn.functional.pad(x, amounts)
