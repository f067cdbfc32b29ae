# SPDX-License-Identifier: Apache-2.0
"""Plain semi-global matching, the same on both back-ends: options, and the CPU's call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._images import as_pair
from mrfcore._scalars import _choice
from mrfcore._stereo_costs import (
    DisparityRange,
    core_costs,
    require_overlap,
)
from mrfcore._stereo_energy import default_truncation

__all__ = ["SGM_COSTS", "SGMSettings", "match_arrays"]

SGM_COSTS = ("census", "absolute", "birchfield_tomasi")
"""Costs of `sgm`: whole numbers on uint8 images."""

_MOST_LABELS = 256
_MOST_PENALTY = 65535 // 8 - 255  # the sum of 8 path costs fits 16 bits
_MOST_COST = 255.0

# (p1, p2) in proportion to what they stand against, bits of the census or channels: 30 and 60 for
# 7 x 9 pixels. Chosen with the data of docs/stereo.md; the optimum is flat.
_CENSUS_PENALTIES = (30 / 62, 60 / 62)
_CHANNEL_PENALTIES = (15.0, 30.0)


@dataclass(frozen=True)
class SGMSettings:
    """Checked options of `stereo.sgm`; see there. What is None depends on the images."""

    labels: DisparityRange
    cost: str
    window: tuple[int, int]
    truncation: float | None
    p1: int | None
    p2: int | None
    paths: int
    subpixel: bool
    uniqueness: float
    left_right_check: bool
    max_difference: float
    threads: int

    def __post_init__(self) -> None:
        if self.labels.size > _MOST_LABELS:
            raise ValueError(
                f"num_disparities: expected at most {_MOST_LABELS}, got {self.labels.size}; "
                'match(solver="sgm") takes more'
            )
        _choice("cost", self.cost, SGM_COSTS)
        _choice("paths", self.paths, (4, 8))
        if self.truncation is not None and self.truncation % 1 != 0:
            raise ValueError(f"truncation: expected a whole number, got {self.truncation:g}")
        self.penalties(3)  # refused before images are looked at

    def penalties(self, channels: int) -> tuple[int, int]:
        """(p1, p2)."""
        census = self.cost == "census"
        shares = _CENSUS_PENALTIES if census else _CHANNEL_PENALTIES
        unit = self.window[0] * self.window[1] - 1 if census else channels
        small, large = (max(1, round(unit * share)) for share in shares)
        p1 = self.p1 if self.p1 is not None else small if self.p2 is None else min(small, self.p2)
        p2 = self.p2 if self.p2 is not None else max(large, p1)
        if not 0 <= p1 <= p2 <= _MOST_PENALTY:
            raise ValueError(f"p1, p2: expected 0 <= p1 <= p2 <= {_MOST_PENALTY}, got {p1}, {p2}")
        return p1, p2

    def largest_cost(self, channels: int) -> float:
        """Costs are truncated here; at 255 at most, as bytes."""
        limit = self.truncation
        if limit is None:
            limit = default_truncation(self.cost, channels)
        return _MOST_COST if limit is None else min(limit, _MOST_COST)

    def check_images(self, width: int, is_bytes: bool) -> None:
        """ValueError unless some disparity matches, TypeError unless costs are whole numbers."""
        require_overlap(self.labels, width)
        if not is_bytes and self.cost != "census":
            raise TypeError(
                f'left, right: expected uint8 pixels with cost="{self.cost}", got floats; '
                'cost="census" takes them'
            )

    def core(self, channels: int) -> Any:
        """For the core."""
        options = _core.SgmOptions()
        options.costs = core_costs(
            self.labels,
            self.cost,
            truncation=self.largest_cost(channels),
            border=None,
            window=self.window,
        )
        options.paths = self.paths
        options.p1, options.p2 = self.penalties(channels)
        options.subpixel = self.subpixel
        options.uniqueness = self.uniqueness
        options.left_right_check = self.left_right_check
        options.max_difference = self.max_difference
        return options


def match_arrays(
    left: Any, right: Any, settings: SGMSettings
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """(disparity, labels), [H, W] or [B, H, W], of images on the CPU."""
    first, second = as_pair(left, right, batches=True)
    settings.check_images(first.shape[2], first.dtype == np.uint8)
    disparity = np.empty(first.shape[:3], np.float32)
    labels = np.empty(first.shape[:3], np.int32)
    options = settings.core(first.shape[3])
    _core.stereo_sgm(first, second, options, settings.threads, labels, disparity)
    return (disparity, labels) if np.ndim(left) == 4 else (disparity[0], labels[0])
