# SPDX-License-Identifier: Apache-2.0
"""PSMNet (Chang and Chen 2018): stereo by a stacked hourglass over a volume of features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mrfcore.models._images import check_batch, count_option
from mrfcore.models._psm_parts import FeatureExtraction, Hourglass, conv_bn_3d
from mrfcore.models._registry import register
from mrfcore.models._volumes import glorot_

__all__ = ["PSMNet"]

torch.fx.wrap("_check_pair")

_SCALE = 4  # pixels of the image per pixel of the features
_STEP = 16  # two more halvings, and back to the same size


@register("psmnet", summary="stereo", input_shape=((3, 256, 512), (3, 256, 512)))
class PSMNet(nn.Module):
    """The pyramid stereo matching network with three hourglasses.

    A 2-D network of 61 convolutions makes features of both images at a quarter of the size, with
    averages over four sizes of windows. The features of the left image and those of the right one,
    shifted by each disparity, are one volume, which 28 3-D convolutions turn into three costs, one
    after each hourglass. A disparity is the mean of all under the softmax of the costs. Parameters
    are named as in the authors' code, whose checkpoints load by name.

    Args:
        max_disparity: disparities are 0 .. max_disparity - 1 pixels; a multiple of 16, >= 16.
        width: channels of the first convolution, >= 1; 32 is the published network, and all other
            channels go with it.
        in_channels: of the images, >= 1.
        pools: four sizes of windows at a quarter of the size of the images. The published ones need
            images of at least 256 x 256.

    Shape:
        left and right [B, in_channels, H, W], rectified; H and W multiples of 16, at least 4 times
        the largest window, W at least max_disparity. To disparities of the left image [B, H, W] in
        pixels; in training mode to three of them, the last one best.

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        *,
        max_disparity: int = 192,
        width: int = 32,
        in_channels: int = 3,
        pools: Sequence[int] = (64, 32, 16, 8),
    ) -> None:
        super().__init__()
        self.max_disparity = count_option("max_disparity", max_disparity)
        if self.max_disparity % _STEP:
            raise ValueError(f"max_disparity: expected a multiple of {_STEP}, got {max_disparity}")
        w = count_option("width", width)
        self.in_channels = count_option("in_channels", in_channels)
        windows = tuple(count_option("pools", window) for window in pools)
        if len(windows) != 4:
            raise ValueError(f"pools: expected four sizes of windows, got {len(windows)}")
        self.least = _SCALE * max(windows)
        self.feature_extraction = FeatureExtraction(self.in_channels, w, windows)
        self.dres0 = nn.Sequential(
            conv_bn_3d(2 * w, w), nn.ReLU(inplace=True), conv_bn_3d(w, w), nn.ReLU(inplace=True)
        )
        self.dres1 = nn.Sequential(conv_bn_3d(w, w), nn.ReLU(inplace=True), conv_bn_3d(w, w))
        self.dres2 = Hourglass(w)
        self.dres3 = Hourglass(w)
        self.dres4 = Hourglass(w)
        self.classif1 = _classifier(w)
        self.classif2 = _classifier(w)
        self.classif3 = _classifier(w)
        glorot_(self)

    def forward(
        self, left: torch.Tensor, right: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Disparities [B, H, W]; in training mode of all three hourglasses."""
        _check_pair(left, right, self.in_channels, self.least, self.max_disparity)
        volume = _volume(
            self.feature_extraction(left),
            self.feature_extraction(right),
            self.max_disparity // _SCALE,
        )
        start = self.dres0(volume)
        start = self.dres1(start) + start
        y, pre, post = self.dres2(start, None, None)
        y1 = y + start
        y, _, post = self.dres3(y1, pre, post)
        y2 = y + start
        y, _, post = self.dres4(y2, pre, post)
        y3 = y + start
        cost1 = self.classif1(y1)
        cost2 = self.classif2(y2) + cost1
        cost3 = self.classif3(y3) + cost2
        if not self.training:
            return self._disparity(cost3)
        return self._disparity(cost1), self._disparity(cost2), self._disparity(cost3)

    def _disparity(self, cost: torch.Tensor) -> torch.Tensor:
        whole = nn.functional.interpolate(
            cost, scale_factor=_SCALE, mode="trilinear", align_corners=False
        )
        share = whole.squeeze(1).softmax(1)
        disparity = torch.arange(self.max_disparity, dtype=torch.float32, device=share.device)
        return (share * disparity.reshape(1, -1, 1, 1)).sum(1)


def _volume(left: torch.Tensor, right: torch.Tensor, disparities: int) -> torch.Tensor:
    """[B, 2 C, disparities, H, W]: left's features beside right's; 0 where right has none."""
    lefts = [nn.functional.pad(left[..., d:], (d, 0)) for d in range(disparities)]
    rights = [nn.functional.pad(right, (d, -d)) for d in range(disparities)]
    return torch.cat([torch.stack(lefts, 2), torch.stack(rights, 2)], 1)


def _classifier(width: int) -> nn.Sequential:
    return nn.Sequential(
        conv_bn_3d(width, width),
        nn.ReLU(inplace=True),
        nn.Conv3d(width, 1, 3, padding=1, bias=False),
    )


def _check_pair(
    left: torch.Tensor, right: torch.Tensor, channels: int, least: int, disparities: int
) -> None:
    check_batch("left", left, channels)
    check_batch("right", right, channels)
    if left.shape != right.shape:
        raise ValueError(
            f"right: expected the shape of left, {list(left.shape)}, got {list(right.shape)}"
        )
    height, width = left.shape[2:]
    if height % _STEP or width % _STEP or min(height, width) < least or width < disparities:
        raise ValueError(
            f"left, right: expected multiples of {_STEP} as height and width, at least {least} "
            f"for the windows that are averaged, and a width of at least {disparities} for the "
            f"disparities; got {height} x {width}"
        )
