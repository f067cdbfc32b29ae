# SPDX-License-Identifier: Apache-2.0
"""Channels that must be kept or removed together: a union-find over their numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["ZERO", "Channels", "Ids"]

Ids = npt.NDArray[np.int64]

ZERO = 0  # the number of what is zero whatever is pruned; equal to every channel


class Channels:
    """Numbers for channels, which are tied as the tracer finds that they share their fate.

    Numbers begin at 1. A channel is locked where removing it would change more than its own
    contribution; the reason is kept, the first one that was found.
    """

    def __init__(self) -> None:
        self._parent: list[int] = [ZERO]
        self._reason: dict[int, str] = {}

    def new(self, count: int) -> Ids:
        """Numbers that nothing is tied to yet."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count, dtype=np.int64)

    def find(self, number: int) -> int:
        """The number that stands for all that are tied to this one."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def tie(self, first: Ids, second: Ids) -> None:
        """Tie channels pairwise; arrays broadcast. Zeros tie nothing."""
        if first is second:
            return
        pairs = np.stack([part.ravel() for part in np.broadcast_arrays(first, second)], axis=1)
        pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & (pairs != ZERO).all(axis=1)]
        for one, other in np.unique(pairs, axis=0).tolist():
            a, b = self.find(one), self.find(other)
            if a == b:
                continue
            low, high = min(a, b), max(a, b)
            self._parent[high] = low
            if high in self._reason:
                self._reason.setdefault(low, self._reason.pop(high))

    def lock(self, ids: Ids, reason: str, *, first: bool = False) -> None:
        """Keep these channels, and all that are tied to them now or later.

        Args:
            ids: numbers of channels.
            reason: why; that of an earlier lock stands.
            first: unless this is the better reason.
        """
        for number in np.unique(ids).tolist():
            if number == ZERO:
                continue
            if first:
                self._reason[self.find(number)] = reason
            self._reason.setdefault(self.find(number), reason)

    def roots(self, ids: Ids) -> Ids:
        """For each channel the number that stands for it."""
        unique, inverse = np.unique(ids, return_inverse=True)
        found = np.array([self.find(number) for number in unique.tolist()], dtype=np.int64)
        return found[inverse].reshape(ids.shape)

    def reason(self, number: int) -> str | None:
        """Why a channel is locked, or None."""
        return self._reason.get(self.find(number))
