# SPDX-License-Identifier: Apache-2.0
"""The parts of learn_stereo.py that are trained, and the tensors they are trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import mrfcore.nn
from mrfcore import Potential, TruncatedLinear, datasets, ops, stereo

STEP = 14.0  # what one pixel's step costs in `stereo.match`, here the unit of all costs
_PAIRS = ((0, 1), (1, 0))  # (dy, dx) of the edges to 4 neighbours


@dataclass(frozen=True, eq=False)
class Problem:
    """A pair as the layer sees it."""

    unary: Tensor
    """float32 [1, L, H, W], in steps; labels contiguous, as the layer likes it. L is the pair's."""
    image: Tensor
    """float32 [1, 3, H, W], the left image, 0 to 1."""
    truth: Tensor
    """float32 [1, H, W], disparity in pixels, 0 where it does not count."""
    counts: Tensor
    """bool [1, H, W], known and non-occluded: the pixels bad-1 is told for."""


def problem(pair: datasets.StereoPair) -> Problem:
    """Matching costs and ground truth of a pair as tensors."""
    if pair.disparity is None or pair.nonocc is None:
        raise ValueError(f"pair {pair.name!r}: expected ground truth and a mask of occlusions")
    labels = pair.num_disparities
    counts = pair.nonocc & (np.nan_to_num(pair.disparity, nan=np.inf) < labels)
    truth = np.where(counts, pair.disparity, 0.0).astype(np.float32)
    rgb = np.broadcast_to(_channels(pair.left), (*pair.left.shape[:2], 3))
    return Problem(
        torch.from_numpy(matching_costs(pair)).permute(2, 0, 1)[None],
        torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)[None],
        torch.from_numpy(truth)[None],
        torch.from_numpy(counts)[None],
    )


def matching_costs(pair: datasets.StereoPair) -> npt.NDArray[np.float32]:
    """[H, W, L] in steps: those of `stereo.match`."""
    channels = _channels(pair.left).shape[2]
    labels = pair.num_disparities
    census = stereo.cost_volume(pair.left, pair.right, labels, "census", window=5)
    colour = stereo.cost_volume(pair.left, pair.right, labels, truncation=5.0 * channels)
    return np.asarray((2.5 * census + 3.0 / channels * colour) / STEP, np.float32)


def _channels(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return image if image.ndim == 3 else image[..., None]


class Curve(nn.Module):
    """A piecewise linear function, 0 before training; constant outside its knots."""

    knots: Tensor

    def __init__(self, knots: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("knots", torch.tensor(knots), persistent=False)
        self.values = nn.Parameter(torch.zeros(len(knots)))

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element."""
        index = torch.bucketize(x, self.knots[1:-1])
        low, high = self.knots[index], self.knots[index + 1]
        share = ((x - low) / (high - low)).clamp(0.0, 1.0)
        return torch.lerp(self.values[index], self.values[index + 1], share)


class EdgeCurves(nn.Module):
    """Positive weights of the edges from the left image, by sixteen numbers.

    log weight = log strength + b(direction) + f(g) + h(c), where g is the RMS colour difference
    between the ends of the edge, and c that of the smoothed image a little further out: texture
    shows in g alone, outlines in both. The strength stays as it is; b, f and h are 0 before
    training, when all edges weigh the same. A network has more freedom than six pairs can fill.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.log_strength = math.log(strength)
        self.direction = nn.Parameter(torch.zeros(len(_PAIRS)))
        self.fine = Curve((0.0, 2.0, 4.0, 8.0, 14.0, 22.0, 40.0, 80.0))  # grey levels
        self.coarse = Curve((0.0, 3.0, 6.0, 12.0, 24.0, 48.0))

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] in 0 .. 1 to [B, P, H, W]."""
        grey_levels = 255.0 * image
        smooth = _smoothed(grey_levels)
        fine = torch.stack([_difference(grey_levels, *pair, 0, 1) for pair in _PAIRS], 1)
        coarse = torch.stack([_difference(smooth, *pair, 1, 2) for pair in _PAIRS], 1)
        log_factor = self.fine(fine) + self.coarse(coarse) + self.direction[:, None, None]
        return torch.exp(self.log_strength + log_factor)


def _difference(image: Tensor, dy: int, dx: int, before: int, after: int) -> Tensor:
    """[B, H, W]: RMS over channels, `after` edges ahead of each pixel against `before` behind."""
    height, width = image.shape[-2:]
    padding = (before * dx, after * dx, before * dy, after * dy)
    padded = nn.functional.pad(image, padding, mode="replicate")
    reach = before + after
    ahead = padded[..., reach * dy : reach * dy + height, reach * dx : reach * dx + width]
    return (ahead - padded[..., :height, :width]).square().mean(1).sqrt()


def _smoothed(image: Tensor, sigma: float = 1.5, radius: int = 5) -> Tensor:
    """[B, C, H, W] under a Gaussian."""
    kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2.0 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(image.shape[1], 1, 1, -1)
    for _ in range(2):  # rows, then columns
        image = nn.functional.pad(image, (radius, radius, 0, 0), mode="replicate")
        image = nn.functional.conv2d(image, kernel, groups=image.shape[1]).transpose(-1, -2)
    return image


class DistanceTable(nn.Module):
    """V(l, m) = v(|l - m|), positive, constant from the eighth step on: eight numbers."""

    index: Tensor

    def __init__(self, labels: int, init: Potential, reach: int = 8) -> None:
        super().__init__()
        start = torch.tensor(init.table(reach + 1)[0], dtype=torch.float32)
        self.log_values = nn.Parameter(start[1:].log())
        label = torch.arange(labels)
        index = (label[:, None] - label).abs().clamp(max=reach)
        self.register_buffer("index", index, persistent=False)

    def forward(self) -> Tensor:
        """[L, L]."""
        return nn.functional.pad(self.log_values.exp(), (1, 0))[self.index]


class Model(nn.Module):
    """Edge weights and a table for a TRWP layer. Before training: two numbers."""

    def __init__(
        self,
        labels: int,
        iterations: int,
        strength: float = 1.0,
        truncation: float = 4.0,
        full_table: bool = False,
    ) -> None:
        super().__init__()
        start = TruncatedLinear(truncation)
        self.edges = EdgeCurves(strength)
        self.whole_table: nn.Module = (
            mrfcore.nn.LearnedPairwise(labels, init=start)
            if full_table
            else DistanceTable(labels, start)
        )
        self.iterations = iterations

    def table(self, labels: int) -> Tensor:
        """[L, L]: V for pairs with fewer disparities than the widest; its upper left part."""
        table: Tensor = self.whole_table()
        return table[:labels, :labels].contiguous()

    def forward(self, unary: Tensor, image: Tensor) -> Tensor:
        """[B, L, H, W] matching costs to [B, L, H, W] costs of the layer."""
        return ops.message_passing(
            unary,
            self.table(unary.shape[1]),
            self.edges(image),
            solver="trwp",
            iterations=self.iterations,
        )


def bad_1_loss(costs: Tensor, truth: Tensor, counts: Tensor, temperature: float) -> Tensor:
    """P(|disparity - truth| > 1) under softmax(-costs / temperature), mean.

    As the temperature falls this becomes the share that bad-1 counts. It is bounded: a few pixels
    that are hopelessly wrong do not outvote the many that could change.
    """
    label = torch.arange(costs.shape[1], dtype=truth.dtype)[:, None, None]
    good = (label - truth[:, None]).abs() <= 1.0
    scores = -costs / temperature
    near = scores.masked_fill(~good, -torch.inf).logsumexp(1)
    return 1.0 - torch.exp(near - scores.logsumexp(1))[counts].mean()
