# SPDX-License-Identifier: Apache-2.0
"""Networks that were trained on different colours, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Normalised"]


class Normalised(nn.Module):
    """A network that takes images as they are, and makes of them what it was trained on.

    net((image - mean) / std). So the two networks of a `JointSegmentation` may have learned from
    colours that were prepared differently, as with weights from different authors.

    >>> drawer = Normalised(create_model("superpixel-fcn"), *SuperpixelFCN.colours)

    Mean and standard deviation are no part of the state dict, whose keys begin with "net.".

    Args:
        net: [B, C, H, W] to anything.
        mean: C finite numbers, on the scale of the images.
        std: C numbers > 0.

    Raises:
        TypeError, ValueError: the message names the argument and what was expected.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if not isinstance(net, nn.Module):
            raise TypeError(f"net: expected a module, got {type(net).__name__}")
        for name, values in (("mean", mean), ("std", std)):
            found = _numbers(name, values, name == "std")
            self.register_buffer(name, found.view(1, -1, 1, 1), persistent=False)
        if self.mean.shape != self.std.shape:
            raise ValueError(
                f"std: expected {self.mean.numel()} numbers as mean, got {self.std.numel()}"
            )
        self.net = net
        if hasattr(net, "cell"):  # of superpixels
            self.cell: Any = net.cell

    def forward(self, image: Tensor) -> Any:
        """What the network makes of it."""
        mean, std = (part.to(image.dtype) for part in (self.mean, self.std))
        return self.net((image - mean) / std)

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


def _numbers(name: str, values: Sequence[float], positive: bool) -> Tensor:
    wanted = "numbers > 0" if positive else "finite numbers"
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise TypeError(f"{name}: expected {wanted}, one for each channel, got {values!r}")
    good = all(
        isinstance(v, (int, float)) and math.isfinite(v) and (v > 0 or not positive) for v in values
    )
    if not values or not good:
        raise ValueError(f"{name}: expected {wanted}, one for each channel, got {list(values)}")
    return torch.tensor([float(v) for v in values], dtype=torch.float32)
