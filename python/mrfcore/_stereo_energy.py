# SPDX-License-Identifier: Apache-2.0
"""The energy that match() minimises: data term, potential and edge weights, with their defaults."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore._arrays import to_numpy
from mrfcore._images import number, refuse_unit_scale, require_memory
from mrfcore._scalars import _choice, _integer
from mrfcore._stereo_costs import (
    COSTS,
    DisparityRange,
    census_window,
    empty_volume,
    exponential_weights,
    write_costs,
)
from mrfcore._stereo_post import right_view_volume
from mrfcore.potentials import Potential, TruncatedLinear

__all__ = ["StereoEnergy", "default_truncation", "stereo_energy"]

# Chosen on Tsukuba, Venus, Teddy, Cones and Motorcycle by the mean share of bad pixels (threshold
# 1, non-occluded). The optimum is flat: see docs/stereo.md.
CENSUS_SHARE = 2.5  # per bit of a 5 x 5 window
COLOUR_SHARE = 3.0  # spread over the channels
COLOUR_TRUNCATION = 5.0  # per channel; little, so that a change of light cannot outvote the census
CHANNEL_TRUNCATION = 20.0  # of costs that stand alone
STEP = 14.0  # of one pixel in disparity, where the image is flat
MAX_STEPS = 4.0


@dataclass(frozen=True)
class StereoEnergy:
    """What match() minimises; edge weights are unit * (those that `weights` stands for)."""

    unary: npt.NDArray[Any]
    potential: Potential | npt.ArrayLike
    image: npt.NDArray[Any]
    weights: Any
    """As given to match(): a name, a number or an array."""
    unit: float
    connectivity: int
    min_disparity: int

    @property
    def arguments(self) -> tuple[npt.NDArray[Any], Potential | npt.ArrayLike, Any]:
        """Of minimize()."""
        edges = self.weights
        if isinstance(edges, str):
            exponential = edges == "exponential"
            edges = exponential_weights(self.image, self.connectivity) if exponential else 1.0
        if self.unit != 1 and isinstance(edges, numbers.Real):
            edges = self.unit * float(edges)
        elif self.unit != 1:
            edges = np.float32(self.unit) * to_numpy("weights", edges)
        return self.unary, self.potential, edges

    @property
    def portable(self) -> bool:
        """Do the weights make sense for the other view?"""
        return isinstance(self.weights, (str, numbers.Real))

    def require_portable(self) -> None:
        """ValueError unless portable."""
        if not self.portable:
            raise ValueError(
                'weights: expected a name or a number with left_right_check="solve"; an array '
                "belongs to the left image"
            )

    def right_view(self, right: npt.NDArray[Any], threads: int) -> StereoEnergy:
        """The same energy for the right image, portable weights given."""
        require_memory("the cost volume of the right view", 4 * self.unary.size)
        worst = float(np.max(self.unary, where=np.isfinite(self.unary), initial=0))
        volume = right_view_volume(self.unary, self.min_disparity, worst, threads)
        return replace(self, unary=volume, image=right)


def stereo_energy(
    left: npt.NDArray[Any],
    right: npt.NDArray[Any],
    labels: DisparityRange,
    *,
    cost: str | npt.ArrayLike,
    window: int | tuple[int, int] | None,
    truncation: float | None,
    potential: Potential | npt.ArrayLike | None,
    weights: str | float | npt.ArrayLike,
    connectivity: int,
    threads: int,
) -> StereoEnergy:
    """See `stereo.match`; left and right are checked images [H, W, C]."""
    size = census_window((5, 5) if window is None else window)
    limit = None if truncation is None else number("truncation", truncation)
    if isinstance(weights, str):
        _choice("weights", weights, ("exponential", "constant"))
    if _integer("connectivity", connectivity) not in (4, 8, 16):
        raise ValueError(f"connectivity: expected 4, 8 or 16, got {connectivity}")
    unit = 1.0
    if not isinstance(cost, str):
        if potential is None:
            raise ValueError("potential: needed with a cost volume of your own, got None")
        unary = _own_volume(cost, left, labels.size)
    else:
        _choice("cost", cost, ("mixed", *COSTS))
        refuse_unit_scale("left, right", left, right)
        unary = _volume(left, right, labels, cost, size, limit, threads)
    if potential is None:
        potential = TruncatedLinear(MAX_STEPS)
        # The same share of the energy per node, however many edges it has.
        unit = _step(str(cost), left.shape[2], size) * 4 / connectivity
    return StereoEnergy(
        unary=unary,
        potential=potential,
        image=left,
        weights=weights,
        unit=unit,
        connectivity=connectivity,
        min_disparity=labels.minimum,
    )


def _volume(
    left: npt.NDArray[Any],
    right: npt.NDArray[Any],
    labels: DisparityRange,
    cost: str,
    window: tuple[int, int],
    truncation: float | None,
    threads: int,
) -> npt.NDArray[np.float32]:
    channels = left.shape[2]
    if truncation is None:
        truncation = default_truncation(cost, channels)
    volume = empty_volume(left, labels.size)
    if cost != "mixed":
        write_costs(
            volume,
            left,
            right,
            labels.minimum,
            cost,
            truncation=truncation,
            window=window,
            threads=threads,
        )
        return volume
    write_costs(
        volume,
        left,
        right,
        labels.minimum,
        "census",
        window=window,
        scale=CENSUS_SHARE * 24 / _bits(window),
        threads=threads,
    )
    write_costs(
        volume,
        left,
        right,
        labels.minimum,
        "birchfield_tomasi",
        truncation=truncation,
        scale=COLOUR_SHARE / channels,
        accumulate=True,
        threads=threads,
    )
    return volume


def _bits(window: tuple[int, int]) -> int:
    return max(1, window[0] * window[1] - 1)


def default_truncation(cost: str, channels: int) -> float | None:
    """Where costs that stand alone, or the colour part of "mixed", are cut off; None: nowhere."""
    if cost == "census":
        return None
    if cost == "mixed":
        return channels * COLOUR_TRUNCATION
    return channels * (CHANNEL_TRUNCATION**2 if "squared" in cost else CHANNEL_TRUNCATION)


def _step(cost: str, channels: int, window: tuple[int, int]) -> float:
    """Cost of one pixel's step, in the units of the data term."""
    if cost == "mixed":
        return STEP
    if cost == "census":
        return STEP / CENSUS_SHARE / 24 * _bits(window)
    return channels * (20.0 if "squared" in cost else 4.0)


def _own_volume(cost: npt.ArrayLike, left: npt.NDArray[Any], labels: int) -> npt.NDArray[Any]:
    volume = to_numpy("cost", cost)
    expected = [*left.shape[:2], labels]
    if list(volume.shape) != expected:
        raise ValueError(
            f"cost: expected a name or a volume [H, W, D] = {expected}, "
            f"got shape {list(volume.shape)}"
        )
    return volume
