# SPDX-License-Identifier: Apache-2.0
"""The parts of learn_stereo.py that are trained, and the tensors they are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import mrfcore.nn
from mrfcore import Potential, TruncatedLinear, datasets, ops, stereo

STEP = 14.0  # what one pixel's step costs in `stereo.match`, here the unit of all costs
_FLOOR = 0.2  # least weight of an edge by the rule of `stereo.match`
_PAIRS = ((0, 1), (1, 0))  # (dy, dx) of the edges to 4 neighbours


@dataclass(frozen=True, eq=False)
class Problem:
    """A pair, or a window of it, as the layer sees it."""

    unary: Tensor
    """float32 [1, L, H, W], in steps; labels contiguous, as the layer likes it. L is the pair's."""
    image: Tensor
    """float32 [1, 3, H, W], the left image, 0 to 1."""
    truth: Tensor
    """float32 [1, H, W], disparity in pixels, 0 where it does not count."""
    counts: Tensor
    """bool [1, H, W], known and non-occluded: the pixels bad-1 is told for."""

    def window(self, top: int, left: int, size: tuple[int, int], flip: bool) -> Problem:
        """A window, turned upside down or not: rows stay rows, so it is a stereo pair still."""
        rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
        parts = [t[..., rows, columns] for t in self._parts]
        return Problem(*(part.flip(-2) if flip else part for part in parts))

    @property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.unary, self.image, self.truth, self.counts


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


class EdgeNet(nn.Module):
    """Positive weights of the edges from the left image.

    It sees the colours and the RMS difference g along each edge. The weight is the hand-made rule
    0.2 + 0.8 exp(-g / 15) of `stereo.match` times a strength, which stays as it is, times a learned
    factor, which is 1 before training.
    """

    def __init__(self, strength: float, width: int = 16) -> None:
        super().__init__()
        self.strength = strength
        last = nn.Conv2d(width, len(_PAIRS), 1)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        self.log_factor = nn.Sequential(
            nn.Conv2d(3 + len(_PAIRS), width, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            last,
        )

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] in 0 .. 1 to [B, P, H, W]; the learned factor is in 1/e^3 .. e^3."""
        unlike = torch.cat([self._unlike(image, *pair) for pair in _PAIRS], 1)
        by_hand = self.strength * (1.0 - (1.0 - _FLOOR) * unlike)
        log_factor = 3.0 * torch.tanh(self.log_factor(torch.cat([image - 0.5, unlike], 1)) / 3.0)
        return by_hand * torch.exp(log_factor)

    @staticmethod
    def _unlike(image: Tensor, dy: int, dx: int) -> Tensor:
        """[B, 1, H, W]: 1 - exp(-RMS / 15 grey levels) between the ends of each edge."""
        height, width = image.shape[-2:]
        other = nn.functional.pad(image, (0, dx, 0, dy), mode="replicate")
        squared = (other[..., dy : dy + height, dx : dx + width] - image).square().mean(1, True)
        return 1.0 - torch.exp(-17.0 * squared.sqrt())


class DistanceTable(nn.Module):
    """V(l, m) = v(l - m): as many numbers as there are differences, not as pairs of labels."""

    index: Tensor

    def __init__(self, labels: int, init: Potential) -> None:
        super().__init__()
        table = torch.tensor(init.table(labels), dtype=torch.float32)
        self.values = nn.Parameter(torch.cat([table[0, 1:].flip(0), table[:, 0]]))
        label = torch.arange(labels)
        self.register_buffer("index", label[:, None] - label + labels - 1, persistent=False)

    def forward(self) -> Tensor:
        """[L, L]."""
        return self.values[self.index]


class Model(nn.Module):
    """Edge weights and a table for a TRWP layer. Before training: the rules at two numbers."""

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
        self.edges = EdgeNet(strength)
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
    """-temperature log P(|disparity - truth| <= 1) under softmax(-costs / temperature), mean.

    As the temperature falls this becomes what the best label off by more than a pixel is cheaper
    by than the best one within a pixel, 0 where it is not: pixels that bad-1 finds right have no
    say. At high temperatures making costs larger pays, and smoothing more does that.
    """
    label = torch.arange(costs.shape[1], dtype=truth.dtype)[:, None, None]
    good = (label - truth[:, None]).abs() <= 1.0
    scores = -costs / temperature
    near = scores.masked_fill(~good, -torch.inf).logsumexp(1)
    return temperature * (scores.logsumexp(1) - near)[counts].mean()
