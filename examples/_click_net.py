# SPDX-License-Identifier: Apache-2.0
"""The network of segment_refine.py, and a message-passing layer on its logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

import mrfcore.nn

_FAR = 100.0  # pixels, the unit of the distance to a click


class ClickNet(nn.Module):
    """Logits of the regions of an image from clicks into them.

    A pixel belongs to the region whose clicks it resembles: logit of region l at pixel x =
    log sum over the clicks k of l of exp(-|f(x) - f(k)|^2 - b |x - k|), where the features f come
    from four small convolutions at half resolution. So it works for any number of regions, and
    permuting the regions permutes the logits.
    """

    def __init__(self, width: int = 24, features: int = 8) -> None:
        super().__init__()

        def conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
            return nn.Conv2d(
                inputs, outputs, 3, stride, dilation, dilation, padding_mode="replicate"
            )

        self.features = nn.Sequential(
            conv(3, width, stride=2),
            nn.ReLU(),
            conv(width, width, dilation=2),
            nn.ReLU(),
            conv(width, width, dilation=4),
            nn.ReLU(),
            nn.Conv2d(width, features, 1),
        )
        self.log_nearness = nn.Parameter(torch.tensor(0.0))
        self.log_scale = nn.Parameter(torch.tensor(0.0))

    def forward(self, image: Tensor, clicks: Tensor) -> Tensor:
        """Logits [1, L, H, W]; image [1, 3, H, W] in 0 .. 1, clicks [N, 3] of (y, x, region)."""
        height, width = image.shape[-2:]
        features = functional.interpolate(
            self.features(image - 0.5), (height, width), mode="bilinear", align_corners=False
        )[0]
        y, x, region = clicks.unbind(1)
        alike = -self._squared_distance(features, features[:, y, x])
        rows, columns = torch.arange(height), torch.arange(width)
        away = torch.hypot(
            (rows[None, :, None] - y[:, None, None]).float(),
            (columns[None, None, :] - x[:, None, None]).float(),
        )
        near = alike - torch.exp(self.log_nearness) / _FAR * away
        count = int(region.max()) + 1
        logits = torch.stack([near[region == label].logsumexp(0) for label in range(count)])
        return (torch.exp(self.log_scale) * logits)[None]

    @staticmethod
    def _squared_distance(features: Tensor, centres: Tensor) -> Tensor:
        """[N, H, W]: |f(x) - c_n|^2 for features [F, H, W] and centres [F, N]."""
        product = torch.einsum("fhw,fn->nhw", features, centres)
        return features.square().sum(0) - 2 * product + centres.square().sum(0)[:, None, None]


class Refined(nn.Module):
    """A network with message passing on its logits: Potts, edges weighed, strength learned.

    Unaries are the negative logits and the result is the layer's negative costs, as in the text.
    """

    def __init__(
        self, net: ClickNet, layer: nn.Module | None = None, connectivity: int = 4
    ) -> None:
        super().__init__()
        self.net, self.layer, self.connectivity = net, layer, connectivity

    def forward(self, image: Tensor, clicks: Tensor, edges: Tensor) -> Tensor:
        """Logits [1, L, H, W]; edges [1, 4, H, W], of which a layer takes those it has."""
        logits: Tensor = self.net(image, clicks)
        if self.layer is None:
            return logits
        costs: Tensor = self.layer(-logits, edges[:, : self.connectivity // 2])
        return -costs


@dataclass(frozen=True)
class Kind:
    """A solver and how many neighbours a pixel has."""

    solver: type[nn.Module]
    connectivity: int

    def refine(self, net: ClickNet, iterations: int, strength: float) -> Refined:
        """The network with a layer of this kind: Potts, and a strength that is learned."""
        layer = self.solver(
            mrfcore.Potts(),
            iterations=iterations,
            connectivity=self.connectivity,
            weight=strength,
            learn_weight=True,
        )
        return Refined(net, layer, self.connectivity)


def strength(module: nn.Module | None) -> float:
    """The learned strength of a layer; 0 without one."""
    return 0.0 if module is None else float(torch.as_tensor(module.weight).detach())
