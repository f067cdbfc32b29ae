# SPDX-License-Identifier: Apache-2.0
"""The parts of learn_stereo.py that are trained, and the tensors they are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import mrfcore.nn
from mrfcore import Potential, TruncatedLinear, datasets, stereo

STEP = 14.0  # what one pixel's step costs in `stereo.match`, here the unit of all costs
HAND_SET = TruncatedLinear(4)
_FORBIDDEN = 50.0  # cost of labels beyond the range of a pair, in steps
_PAIRS = ((0, 1), (1, 0))  # (dy, dx) of the edges to 4 neighbours


@dataclass(frozen=True, eq=False)
class Problem:
    """A pair, or a window of it, as the layer sees it."""

    unary: Tensor
    """float32 [1, L, H, W], in steps; labels contiguous, as the layer likes it."""
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


def problem(pair: datasets.StereoPair, labels: int) -> Problem:
    """Matching costs and ground truth of a pair as tensors."""
    if pair.disparity is None or pair.nonocc is None:
        raise ValueError(f"pair {pair.name!r}: expected ground truth and a mask of occlusions")
    counts = pair.nonocc & (np.nan_to_num(pair.disparity, nan=np.inf) < labels)
    truth = np.where(counts, pair.disparity, 0.0).astype(np.float32)
    rgb = np.broadcast_to(_channels(pair.left), (*pair.left.shape[:2], 3))
    return Problem(
        torch.from_numpy(matching_costs(pair, labels)).permute(2, 0, 1)[None],
        torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)[None],
        torch.from_numpy(truth)[None],
        torch.from_numpy(counts)[None],
    )


def matching_costs(pair: datasets.StereoPair, labels: int) -> npt.NDArray[np.float32]:
    """[H, W, L] in steps: those of `stereo.match`; labels beyond its range are forbidden."""
    channels = _channels(pair.left).shape[2]
    known = min(labels, pair.num_disparities)
    census = stereo.cost_volume(pair.left, pair.right, known, "census", window=5)
    colour = stereo.cost_volume(pair.left, pair.right, known, truncation=5.0 * channels)
    costs = np.full((*census.shape[:2], labels), _FORBIDDEN, np.float32)
    costs[..., :known] = (2.5 * census + 3.0 / channels * colour) / STEP
    return costs


def _channels(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return image if image.ndim == 3 else image[..., None]


class EdgeNet(nn.Module):
    """Positive weights of the edges from the left image. Before training all of them are 1.

    It sees the colours and their RMS difference along each edge, which is what the hand-made rule
    0.2 + 0.8 exp(-difference / 15) of `stereo.match` goes by.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3 + len(_PAIRS), width, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
        )
        self.weights = nn.Conv2d(width, len(_PAIRS), 1)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias if self.weights.bias is not None else torch.empty(0))

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] in 0 .. 1 to [B, P, H, W] in 1/e^3 .. e^3."""
        seen = torch.cat([image - 0.5, *(self._difference(image, *pair) for pair in _PAIRS)], 1)
        return torch.exp(3.0 * torch.tanh(self.weights(self.features(seen)) / 3.0))

    @staticmethod
    def _difference(image: Tensor, dy: int, dx: int) -> Tensor:
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
    """Edge weights and a table around a TRWP layer, and the temperature that its loss needs."""

    def __init__(self, labels: int, iterations: int, full_table: bool) -> None:
        super().__init__()
        self.edges = EdgeNet()
        self.table: nn.Module = (
            mrfcore.nn.LearnedPairwise(labels, init=HAND_SET)
            if full_table
            else DistanceTable(labels, HAND_SET)
        )
        self.layer = mrfcore.nn.TRWP(self.table, iterations=iterations)
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def forward(self, unary: Tensor, image: Tensor) -> Tensor:
        """[B, L, H, W] matching costs to [B, L, H, W] costs of the layer."""
        costs: Tensor = self.layer(unary, self.edges(image))
        return costs


def bad_1_loss(costs: Tensor, truth: Tensor, counts: Tensor, log_temperature: Tensor) -> Tensor:
    """-log P(|disparity - truth| <= 1) under softmax(-costs / temperature), mean over `counts`."""
    label = torch.arange(costs.shape[1], dtype=truth.dtype)[:, None, None]
    good = (label - truth[:, None]).abs() <= 1.0
    scores = -costs * torch.exp(-log_temperature)
    near = scores.masked_fill(~good, -torch.inf).logsumexp(1)
    return (scores.logsumexp(1) - near)[counts].mean()
