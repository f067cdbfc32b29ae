# SPDX-License-Identifier: Apache-2.0
"""Which margins leave room for how many groups (section 5.3.2)."""

from __future__ import annotations

import math

from mrfcore._scalars import _checked, _integer

__all__ = ["margin_bound", "margin_capacity"]


def margin_bound(groups: int) -> float:
    """The margin below which so many groups do not fit on the sphere in three dimensions.

    Some two of n points on it are at most sqrt(8 pi / (sqrt(3) n)) apart (Fejes Toth 1943), so that
    for alpha < 1 - 2 pi / (sqrt(3) n) `pairwise_margin_loss` cannot become 0 (Prop 5.2): 0.0931,
    0.2745, 0.3954 and 0.4818 for 4, 5, 6 and 7 groups. It is necessary to exceed it, and close to
    enough for many groups only.

    Args:
        groups: n, at least 2.

    Returns:
        The bound, 0 where every margin leaves room.

    Raises:
        ValueError, TypeError: not an integer of at least 2.
    """
    if _integer("groups", groups) < 2:
        raise ValueError(f"groups: expected a number >= 2, got {groups}")
    return max(0.0, 1.0 - 2.0 * math.pi / (math.sqrt(3.0) * groups))


def margin_capacity(dims: int, alpha: float = 0.5) -> int:
    """How many groups embeddings can keep a margin apart: the most with `pairwise_margin_loss` 0.

    At alpha = 0.5 these are 2 D, two opposite ones on every axis; below, where cosines of different
    groups must be negative, at most D + 1 (Rankin 1955).

    Args:
        dims: D, of the embedding, at least 1.
        alpha: margin in [0, 0.5]; above, no formula is known.

    Returns:
        The number of groups.

    Raises:
        ValueError, TypeError: not such numbers.
    """
    if _integer("dims", dims) < 1:
        raise ValueError(f"dims: expected a number >= 1, got {dims}")
    margin = _checked("alpha", alpha, lambda a: 0 <= a <= 0.5, "a number in [0, 0.5]")
    if margin == 0.5:
        return 2 * dims
    cosine = 2.0 * margin - 1.0
    # n unit vectors with cosines c < 0: 0 <= |sum|^2 <= n + n (n - 1) c.
    return min(dims + 1, math.floor(1.0 - 1.0 / cosine + 1e-9))
