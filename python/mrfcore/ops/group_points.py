# SPDX-License-Identifier: Apache-2.0
"""Labels from points that mean shift has gathered (section 5.3 leaves the rule open)."""

from __future__ import annotations

import math

import torch

from mrfcore._scalars import _checked, _integer, _threads
from mrfcore.ops._points import check_points
from mrfcore.ops.mean_shift import _concentration, mean_shift

__all__ = ["group_points"]


@torch.no_grad()
def group_points(
    x: torch.Tensor,
    kappa: float = 36.0,
    *,
    threshold: float = 0.5,
    min_size: int = 1,
    threads: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read groups off unit vectors that `mean_shift` has moved.

    As long as points are left, the one with the most others around it (the greatest sum over i of
    exp(kappa x_i . x_j), of equals the first) founds a group of all points left whose cosine with
    it exceeds `threshold`. No gradient goes through this. On a GPU it waits, once for every group.

    Args:
        x: [B, D, N] or [B, D, H, W], as for `mean_shift`; normalised here. A zero vector belongs to
            no group.
        kappa: of the density, a number >= 0; best that of the mean shift.
        threshold: in [-1, 1); 0.5 lies halfway between groups that the margin 0.5 keeps
            orthogonal and points of one group.
        min_size: points of smaller groups get label -1.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.

    Returns:
        Labels, int64 [B, N] or [B, H, W], 0, 1, ... from the densest group on, and the number of
        groups of every item, int64 [B].

    Raises:
        ValueError, TypeError: as `mean_shift`.
    """
    check_points(x)
    density_kappa = _checked(
        "kappa", kappa, lambda k: k >= 0 and math.isfinite(k), "a finite number >= 0"
    )
    cosine = _checked("threshold", threshold, lambda t: -1 <= t < 1, "a number in [-1, 1)")
    if _integer("min_size", min_size) < 1:
        raise ValueError(f"min_size: expected a number >= 1, got {min_size}")
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    unit = mean_shift(x.flatten(2).to(dtype), 0.0, steps=0)
    densities = _densities(unit, density_kappa, _threads(threads))
    found = [
        _of_item(points, density, cosine, min_size)
        for points, density in zip(unit, densities, strict=True)
    ]
    labels = torch.stack([item[0] for item in found])
    counts = torch.tensor([item[1] for item in found], device=x.device)
    return labels.reshape(x.shape[0], *x.shape[2:]), counts


def _densities(unit: torch.Tensor, kappa: float, threads: int) -> torch.Tensor:
    """Sums of weights [B, N]: what a loop of mean shift records last on its tape."""
    setup = ("sphere", 1, 1.0, threads)
    _, tape = torch.ops.mrfcore.mean_shift(unit, _concentration(kappa, unit, "kappa"), True, *setup)
    batch, _, points = unit.shape
    padded = (points + 63) // 64 * 64
    densities: torch.Tensor = tape[-batch * padded :].reshape(batch, padded)[:, :points]
    return densities


def _of_item(
    points: torch.Tensor, density: torch.Tensor, cosine: float, min_size: int
) -> tuple[torch.Tensor, int]:
    labels = torch.full((points.shape[1],), -1, dtype=torch.int64, device=points.device)
    # A stable order, so that the first of equals founds the group.
    order = density.argsort(descending=True, stable=True)
    order = order[points[:, order].square().sum(0) > 0]
    groups = 0
    while len(order):
        founder = points[:, order[0]]
        near = (founder[:, None] * points[:, order]).sum(0) > cosine
        near[0] = True
        if int(near.sum()) >= min_size:
            labels[order[near]] = groups
            groups += 1
        order = order[~near]
    return labels, groups
