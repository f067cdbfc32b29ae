# SPDX-License-Identifier: Apache-2.0
"""Small networks of every kind of block, whose forward takes masks on post-activations itself.

`c` maps a layer's name to what its post-activation is multiplied with, (5.4): the definition that
traced, masked and slim networks are compared with. None: no masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional

Masks = Mapping[str, torch.Tensor] | None


def put(x: torch.Tensor, c: Masks, name: str) -> torch.Tensor:
    if c is None:
        return x
    return x * c[name].to(x).reshape(1, -1, *[1] * (x.ndim - 2))


class Chain(nn.Module):
    """Convolutions of some dimension, then linear layers after flatten."""

    def __init__(self, dims: int = 2, norm: bool = True, bias: bool = True) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        batch = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
        self.a = conv(2, 6, 3, padding=1, bias=bias)
        self.an = batch(6) if norm else nn.Identity()
        self.b = conv(6, 5, 3, padding=1, stride=2, bias=bias)
        self.bn = batch(5) if norm else nn.Identity()
        self.h = nn.Linear(5 * 2**dims, 7)
        self.out = nn.Linear(7, 3)
        self.example = torch.randn(2, 2, *[4] * dims)

    def forward(self, x: torch.Tensor, c: Masks = None) -> torch.Tensor:
        x = put(functional.relu(self.an(self.a(x))), c, "a")
        x = put(functional.relu(self.bn(self.b(x))), c, "b")
        x = put(functional.relu(self.h(x.flatten(1))), c, "h")
        return self.out(x)


class Concat(nn.Module):
    """A U: two resolutions, joined by cat; the upper one is enlarged."""

    def __init__(self) -> None:
        super().__init__()
        self.skip = nn.Conv3d(1, 4, 3, padding=1, bias=False)
        self.skip_n = nn.BatchNorm3d(4)
        self.low = nn.Conv3d(4, 6, 3, padding=1, bias=False)
        self.low_n = nn.BatchNorm3d(6)
        self.join = nn.Conv3d(10, 5, 3, padding=1, bias=False)
        self.join_n = nn.BatchNorm3d(5)
        self.out = nn.Conv3d(5, 3, 1)
        self.example = torch.randn(2, 1, 6, 6, 6)

    def forward(self, x: torch.Tensor, c: Masks = None) -> torch.Tensor:
        skip = put(functional.relu(self.skip_n(self.skip(x))), c, "skip")
        low = put(functional.relu(self.low_n(self.low(functional.max_pool3d(skip, 2)))), c, "low")
        up = functional.interpolate(low, size=skip.shape[2:], mode="nearest")
        x = put(functional.relu(self.join_n(self.join(torch.cat([skip, up], 1)))), c, "join")
        return torch.softmax(self.out(x), 1)


class Residual(nn.Module):
    """Additions of three layers, in place too; the sum is what a mask is on."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 6, 3, padding=1)
        self.inner = nn.Conv2d(6, 4, 3, padding=1)
        self.inner_n = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.d = nn.Conv2d(6, 6, 1)
        self.out = nn.Conv2d(6, 2, 1)
        self.example = torch.randn(2, 2, 5, 5)

    def forward(self, x: torch.Tensor, c: Masks = None) -> torch.Tensor:
        x = put(self.a(x), c, "a")
        y = put(functional.relu6(self.inner_n(self.inner(x))), c, "inner")
        x = put(functional.leaky_relu(self.bn(self.b(y)) + x, 0.1), c, "a")
        x = put(self.d(x).add_(x), c, "a")
        return self.out(x)


class Depthwise(nn.Module):
    """MobileNetV2's block; the depthwise layer has the mask of the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(2, 4, 3, padding=1, bias=False)
        self.expand = nn.Conv3d(4, 8, 1, bias=False)
        self.expand_n = nn.BatchNorm3d(8)
        self.deep = nn.Conv3d(8, 8, 3, padding=1, groups=8, bias=False)
        self.deep_n = nn.BatchNorm3d(8)
        self.twice = nn.Conv3d(8, 16, 3, padding=1, groups=8)
        self.project = nn.Conv3d(16, 4, 1, bias=False)
        self.project_n = nn.BatchNorm3d(4)
        self.out = nn.Linear(4, 3)
        self.example = torch.randn(3, 2, 4, 4, 4)

    def forward(self, x: torch.Tensor, c: Masks = None) -> torch.Tensor:
        x = put(self.stem(x), c, "stem")
        y = put(functional.relu6(self.expand_n(self.expand(x))), c, "expand")
        y = put(functional.relu6(self.deep_n(self.deep(y))), c, "expand")
        y = functional.relu6(self.twice(y))
        if c is not None:
            y = y * c["expand"].to(y).repeat_interleave(2).reshape(1, -1, 1, 1, 1)
        x = put(x + self.project_n(self.project(y)), c, "stem")
        return self.out(x.mean((2, 3, 4)))


class Deconv(nn.Module):
    """Transposed convolutions: plain, grouped and depthwise."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 5, 3, padding=1)
        self.up = nn.ConvTranspose2d(5, 6, 4, stride=2, padding=1, bias=False)
        self.up_n = nn.BatchNorm2d(6)
        self.each = nn.ConvTranspose2d(6, 6, 2, stride=2, groups=6)
        self.out = nn.ConvTranspose2d(6, 2, 3)
        self.example = torch.randn(2, 2, 4, 4)

    def forward(self, x: torch.Tensor, c: Masks = None) -> torch.Tensor:
        x = put(functional.elu(self.a(x)), c, "a")
        x = put(functional.relu(self.up_n(self.up(x))), c, "up")
        x = put(functional.relu(self.each(x)), c, "up")
        return self.out(x)


class Grouped(nn.Module):
    """Groups of two kinds: of a convolution and of a normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 8, 3, padding=1)
        self.g = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.t = nn.ConvTranspose2d(12, 6, 2, groups=2)
        self.n = nn.Conv2d(6, 8, 3, padding=1)
        self.norm = nn.GroupNorm(4, 8)
        self.out = nn.Conv2d(8, 2, 1)
        self.example = torch.randn(2, 2, 4, 4)

    def forward(self, x: torch.Tensor, c: Masks = None) -> torch.Tensor:
        x = put(functional.relu(self.a(x)), c, "a")
        x = put(functional.relu(self.g(x)), c, "g")
        x = put(functional.relu(self.t(x)), c, "t")
        x = put(functional.silu(self.norm(self.n(x))), c, "n")
        return self.out(x)


class Gated(nn.Module):
    """Equal parts, a gate for each channel and one for all, a scale of its own, a padded window."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 8, 3)
        self.scale = nn.Parameter(torch.rand(1, 4, 1, 1) + 0.5)
        self.squeeze = nn.Linear(4, 3)
        self.excite = nn.Linear(3, 4)
        self.spot = nn.Conv2d(4, 1, 1)
        self.act = nn.PReLU(4)
        self.out = nn.Conv2d(4, 2, 1)
        self.example = torch.randn(2, 2, 6, 6)

    def forward(self, x: torch.Tensor, c: Masks = None) -> torch.Tensor:
        first, second = self.a(functional.pad(x, (1, 1, 1, 1))).chunk(2, dim=1)
        x = first * torch.sigmoid(second)
        if c is not None:
            x = x * c["a"][:4].to(x).reshape(1, -1, 1, 1)
        mean = functional.adaptive_avg_pool2d(x, 1)[:, :, 0, 0]
        gate = put(functional.relu(self.squeeze(mean)), c, "squeeze")
        x = self.act(x * torch.sigmoid(self.excite(gate))[..., None, None] * self.scale)
        if c is not None:
            x = x * c["a"][:4].to(x).reshape(1, -1, 1, 1)
        x = x * torch.sigmoid(self.spot(x))
        if c is not None:
            x = x * c["a"][:4].to(x).reshape(1, -1, 1, 1)
        return self.out(x)


class Siamese(nn.Module):
    """One tower for two inputs, and a volume of both written part by part."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Conv2d(3, 5, 3, padding=1)
        self.cost = nn.Conv3d(10, 4, 3, padding=1)
        self.out = nn.Conv3d(4, 1, 1)
        self.example = (torch.randn(1, 3, 4, 8), torch.randn(1, 3, 4, 8))

    def forward(self, left: torch.Tensor, right: torch.Tensor, c: Masks = None) -> torch.Tensor:
        left = put(torch.tanh(self.tower(left)), c, "tower")
        right = put(torch.tanh(self.tower(right)), c, "tower")
        batch, channels, height, width = left.shape
        volume = left.new_zeros(batch, 2 * channels, 3, height, width)
        for shift in range(3):
            volume[:, :channels, shift, :, shift:] = left[..., shift:]
            volume[:, channels:, shift, :, shift:] = right[..., : width - shift]
        x = put(functional.relu(self.cost(volume)), c, "cost")
        return (self.out(x).squeeze(1).softmax(1) * torch.arange(3.0)[:, None, None]).sum(1)


BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "chain-1d": lambda: Chain(1),
    "chain-2d": lambda: Chain(2),
    "chain-3d": lambda: Chain(3),
    "chain-plain": lambda: Chain(2, norm=False),
    "concat": Concat,
    "residual": Residual,
    "depthwise": Depthwise,
    "deconv": Deconv,
    "grouped": Grouped,
    "gated": Gated,
    "siamese": Siamese,
}


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """In eval mode, with statistics and shifts that are not those of a new network."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)):
            nn.init.normal_(module.weight, generator=generator)
            nn.init.normal_(module.bias, generator=generator)
    return model.eval()


def example(model: nn.Module) -> tuple[torch.Tensor, ...]:
    given = model.example
    return given if isinstance(given, tuple) else (given,)
