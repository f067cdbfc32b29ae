# SPDX-License-Identifier: Apache-2.0
"""What a solve gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Progress", "Result", "Trace"]

_TINY = float(np.finfo(np.float64).tiny)


class Progress(NamedTuple):
    """State after an iteration, handed to minimize's callback."""

    iteration: int
    """1-based."""
    iterations: int
    """As asked for."""
    energy: float
    lower_bound: float | None
    """None unless lower_bound=True or gap_tolerance was given."""
    seconds: float
    """Since this item's start."""
    item: int
    """Index in the batch."""


@dataclass(frozen=True)
class Trace:
    """Course of a solve.

    K = iterations done by the longest-running item; others repeat their last value.
    """

    energy: npt.NDArray[np.float64]
    """[K], or [K, B] for a batch."""
    lower_bound: npt.NDArray[np.float64] | None
    """Bound computed at each iteration, shaped like energy; None unless asked for."""
    seconds: npt.NDArray[np.float64]
    """[K]: time since the start of the item, the mean over a batch."""


@dataclass(frozen=True)
class Result:
    """Labelling and what is known about it.

    Arrays are of the kind that `unary` was (NumPy, torch, ...).
    """

    labels: Any
    """int32 [H, W], or [B, H, W] for a batch."""
    energy: float | npt.NDArray[np.float64]
    """E(labels), summed in double; [B] for a batch."""
    lower_bound: float | npt.NDArray[np.float64] | None
    """No labelling has less energy than this. None unless lower_bound=True or gap_tolerance was
    given."""
    costs: Any
    """Like unary: the solver's cost of each label (Eq 3.7); its arg-min is `labels` but for trws,
    icm, keep_best, and after polish (trwp unless polish=0)."""
    trace: Trace | None
    """None unless trace=True."""
    iterations: int | npt.NDArray[np.int64]
    """Done, not asked for; [B] for a batch."""

    @property
    def gap(self) -> float | npt.NDArray[np.float64] | None:
        """(energy - lower_bound) / |energy|; 0 proves optimality. None without a bound.

        Infinite where the energy is: some pixel has no allowed label.
        """
        if self.lower_bound is None:
            return None
        energy, bound = np.asarray(self.energy), np.asarray(self.lower_bound)
        possible = np.isfinite(energy)
        scale = np.maximum(np.abs(energy, where=possible, out=np.ones_like(energy)), _TINY)
        difference = np.subtract(energy, bound, where=possible, out=np.full_like(energy, np.inf))
        gap = difference / scale
        return gap if gap.ndim else float(gap)

    def __repr__(self) -> str:
        def short(value: Any, digits: int = 10) -> str:
            floats: Any = {"float_kind": lambda number: f"{number:.{digits}g}"}
            array = np.asarray(value)
            return np.array2string(array, threshold=8, max_line_width=1000, formatter=floats)

        parts = [f"labels={list(self.labels.shape)}", f"energy={short(self.energy)}"]
        if self.lower_bound is not None:
            parts += [f"lower_bound={short(self.lower_bound)}", f"gap={short(self.gap, 3)}"]
        else:
            parts.append("gap=? (lower_bound=True tells)")
        return f"Result({', '.join(parts)}, iterations={short(self.iterations)})"
