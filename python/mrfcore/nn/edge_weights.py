# SPDX-License-Identifier: Apache-2.0
"""Edge weights from an image: neighbours that look alike are bound closer."""

from __future__ import annotations

import math

import torch

from mrfcore._images import fraction, number
from mrfcore._scalars import _choice, _integer
from mrfcore._stereo_costs import _PAIRS
from mrfcore.nn._canny import canny_edges

__all__ = ["EdgeWeights"]

_KINDS = ("constant", "exponential", "canny")


class EdgeWeights(torch.nn.Module):
    """Weights w_ij of all edges, from an image.

    - "constant": 1.
    - "exponential": floor + (1 - floor) exp(-g / scale), g the root of the mean squared difference
      of the channels along the edge; that of `mrfcore.stereo.exponential_weights`. Differentiable.
    - "canny": 1 - |e_i - e_j| with e = 1 on Canny edges and 0 elsewhere: no smoothing between an
      edge pixel and its neighbours off the edge. The edges are scikit-image's, of
      the luma; no gradient goes to the image.

    The weights may be multiplied by a learned scalar: `learn_weight=True` of the layers.

    Args:
        kind: "constant", "exponential" or "canny".
        connectivity: 4, 8 or 16, as of the layer.
        scale: exponential: difference that takes the weight down by a factor e, in units of the
            image. The default is for images in 0..1; take 15 for 0..255.
        floor: exponential: weight across the strongest gradients, in [0, 1].
        sigma: canny: standard deviation of the Gaussian before, in pixels.
        low: canny: gradient from which an edge goes on, in units of the image.
        high: canny: gradient from which an edge starts, >= low.

    Shape:
        image [B, 3, H, W] or [B, 1, H, W] (exponential and constant: any number of channels);
        result [B, P, H, W], P = connectivity / 2. Entry [p, y, x] belongs to the edge
        (y, x) - (y + dy, x + dx), (dy, dx) = (0,1) (1,0) | (1,1) (1,-1) | (1,2) (2,1) (2,-1)
        (1,-2), and is 0 where that leaves the image.

    Raises:
        ValueError, TypeError: an argument of the wrong value, type or shape.
        ImportError: "canny" without scikit-image.
    """

    def __init__(
        self,
        kind: str = "exponential",
        connectivity: int = 4,
        *,
        scale: float = 15 / 255,
        floor: float = 0.0,
        sigma: float = 1.0,
        low: float = 0.1,
        high: float = 0.2,
    ) -> None:
        super().__init__()
        self.kind = _choice("kind", kind, _KINDS)
        self.connectivity = _integer("connectivity", connectivity)
        if self.connectivity not in (4, 8, 16):
            raise ValueError(f"connectivity: expected 4, 8 or 16, got {connectivity}")
        self.scale = number("scale", scale, strict=True)
        self.floor = fraction("floor", floor)
        self.sigma = number("sigma", sigma)
        self.low = number("low", low)
        self.high = number("high", high)
        if self.high < self.low:
            raise ValueError(f"high: expected at least low = {low}, got {high}")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Weights [B, P, H, W] of an image [B, C, H, W], in its dtype (float32 of integers)."""
        _check_image(image)
        if not image.is_floating_point():
            if self.kind == "exponential" and self.scale < 1:
                raise ValueError(
                    f"image: got dtype {image.dtype} with scale = {self.scale:g}, a scale for "
                    "images in 0..1: steps of 1 would cut every edge; pass image / 255, or scale=15"
                )
            image = image.to(torch.float32)
        if self.kind == "canny":
            image = self._edges(image)
        return torch.stack(
            [self._plane(image, dy, dx) for dy, dx in _PAIRS[: self.connectivity // 2]], dim=1
        )

    def _edges(self, image: torch.Tensor) -> torch.Tensor:
        """e, [B, 1, H, W], in the dtype of the image."""
        if image.shape[1] not in (1, 3):
            raise ValueError(f"image: expected [B, 3 or 1, H, W], got shape {list(image.shape)}")
        luma = image.new_tensor([0.299, 0.587, 0.114] if image.shape[1] == 3 else [1.0])
        grey = torch.einsum("bchw,c->bhw", image.detach(), luma)
        edges = canny_edges(grey, self.sigma, self.low, self.high)
        return edges.unsqueeze(1).to(image.dtype)

    def _plane(self, image: torch.Tensor, dy: int, dx: int) -> torch.Tensor:
        """Weights of one direction pair, [B, H, W]."""
        height, width = image.shape[2:]
        left, right = max(0, -dx), max(0, dx)
        if dy >= height or abs(dx) >= width:
            return image.new_zeros(image.shape[0], height, width)
        owner = image[:, :, : height - dy, left : width - right]
        other = image[:, :, dy:, right : width - left]
        weight = self._weight(owner - other)
        return torch.nn.functional.pad(weight, (left, right, 0, dy))

    def _weight(self, difference: torch.Tensor) -> torch.Tensor:
        if self.kind == "constant":
            return torch.ones_like(difference[:, 0])
        if self.kind == "canny":
            return 1 - difference[:, 0].abs()
        # vector_norm has the gradient 0 at 0, where sqrt(sum of squares) has none.
        g = torch.linalg.vector_norm(difference, dim=1) / math.sqrt(difference.shape[1])
        return self.floor + (1 - self.floor) * torch.exp(-g / self.scale)

    def extra_repr(self) -> str:
        """What print() shows."""
        used = {"exponential": ("scale", "floor"), "canny": ("sigma", "low", "high")}
        options = [f"{name}={getattr(self, name):g}" for name in used.get(self.kind, ())]
        return ", ".join([repr(self.kind), f"connectivity={self.connectivity}", *options])


def _check_image(image: object) -> None:
    if not isinstance(image, torch.Tensor):
        raise TypeError(f"image: expected a tensor [B, C, H, W], got {type(image).__name__}")
    if image.is_complex() or image.dtype == torch.bool:
        raise TypeError(f"image: expected real numbers, got dtype {image.dtype}")
    if image.dim() != 4 or 0 in image.shape:
        raise ValueError(f"image: expected [B, C, H, W], got shape {list(image.shape)}")
