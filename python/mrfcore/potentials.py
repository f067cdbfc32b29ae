# SPDX-License-Identifier: Apache-2.0
"""Pairwise functions V(l, m). The pairwise term of an edge is w_ij * V(x_i, x_j) (Eq 3.1).

All solvers take all of them. None needs V to be a metric, nor symmetric: that is a condition of
graph cuts only.
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._arrays import to_numpy

__all__ = [
    "Cauchy",
    "Huber",
    "Potential",
    "Potts",
    "SGMPenalty",
    "Table",
    "TruncatedLinear",
    "TruncatedQuadratic",
    "as_potential",
]


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    return float(value)


class Potential(ABC):
    """Base of all pairwise functions."""

    @abstractmethod
    def _to_core(self) -> _core.Potential: ...

    def table(self, num_labels: int) -> npt.NDArray[np.float64]:
        """V as float64 [num_labels, num_labels]; entry [l, m] is V(l, m)."""
        if num_labels < 1:
            raise ValueError(f"num_labels: expected at least 1, got {num_labels}")
        return self._difference_table(np.abs(np.subtract.outer(*[np.arange(num_labels)] * 2)))

    def _difference_table(self, d: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        core = self._to_core()
        values = np.array([core(int(k), 0) for k in range(int(d.max()) + 1)], dtype=np.float64)
        return values[d]


@dataclass(frozen=True)
class Potts(Potential):
    """[l != m]: 0 for equal labels, 1 otherwise."""

    def _to_core(self) -> _core.Potential:
        return _core.Potential.potts()


@dataclass(frozen=True)
class TruncatedLinear(Potential):
    """min(|l - m|, truncation). truncation >= 0; infinity (the default) means none."""

    truncation: float = math.inf

    def __post_init__(self) -> None:
        self._to_core()

    def _to_core(self) -> _core.Potential:
        return _core.Potential.truncated_linear(_number("truncation", self.truncation))


@dataclass(frozen=True)
class TruncatedQuadratic(Potential):
    """min((l - m)^2, truncation). truncation >= 0; infinity (the default) means none."""

    truncation: float = math.inf

    def __post_init__(self) -> None:
        self._to_core()

    def _to_core(self) -> _core.Potential:
        return _core.Potential.truncated_quadratic(_number("truncation", self.truncation))


@dataclass(frozen=True)
class SGMPenalty(Potential):
    """0, p1, p2 for |l - m| = 0, 1, >= 2 (Eq 3.2); 0 <= p1 <= p2."""

    p1: float
    p2: float

    def __post_init__(self) -> None:
        self._to_core()

    def _to_core(self) -> _core.Potential:
        return _core.Potential.sgm_penalty(_number("p1", self.p1), _number("p2", self.p2))


@dataclass(frozen=True)
class Huber(Potential):
    """d^2 / 2 for d = |l - m| <= delta, then delta * (d - delta / 2); delta > 0."""

    delta: float

    def __post_init__(self) -> None:
        self._to_core()

    def _to_core(self) -> _core.Potential:
        return _core.Potential.huber(_number("delta", self.delta))


@dataclass(frozen=True)
class Cauchy(Potential):
    """scale^2 / 2 * log(1 + (d / scale)^2) with d = |l - m|; scale > 0."""

    scale: float

    def __post_init__(self) -> None:
        self._to_core()

    def _to_core(self) -> _core.Potential:
        return _core.Potential.cauchy(_number("scale", self.scale))


@dataclass(frozen=True, eq=False)
class Table(Potential):
    """Any function of two labels.

    Args:
        values: real [L, L]; entry [l, m] is V(l, m). For the edge (y, x) - (y + dy, x + dx) of a
            canonical direction pair the term is V(x at (y, x), x at (y + dy, x + dx)), so an
            asymmetric table is well defined.

    Raises:
        ValueError: not square, or a value is not finite (forbid a pair of labels with a large
            finite cost).
        TypeError: not real numbers.
    """

    values: npt.NDArray[np.float64]
    _core_potential: _core.Potential = field(init=False, repr=False)

    def __init__(self, values: Any) -> None:
        v = np.asarray(values)
        if v.dtype.kind not in "biuf":
            raise TypeError(f"V: expected real numbers, got dtype {v.dtype}")
        if v.ndim != 2 or v.shape[0] != v.shape[1] or v.shape[0] == 0:
            raise ValueError(
                f"V: expected a square table [L, L] with L >= 1, got shape {list(v.shape)}"
            )
        v = np.array(v, dtype=np.float64, order="C")
        v.setflags(write=False)
        object.__setattr__(self, "values", v)
        object.__setattr__(self, "_core_potential", _core.Potential.table(v))

    def __reduce__(self) -> tuple[type[Table], tuple[npt.NDArray[np.float64]]]:
        return Table, (self.values,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((Table, self.values.shape, self.values.tobytes()))

    def __repr__(self) -> str:
        return f"Table(L={self.values.shape[0]})"

    def table(self, num_labels: int) -> npt.NDArray[np.float64]:
        """V as float64 [L, L]. Raises ValueError if num_labels is not this table's L."""
        if num_labels != self.values.shape[0]:
            raise ValueError(
                f"num_labels: expected {self.values.shape[0]} as in the table, got {num_labels}"
            )
        return self.values

    def _to_core(self) -> _core.Potential:
        return self._core_potential


def as_potential(pairwise: object) -> Potential:
    """A Potential as it is; a square array becomes a Table."""
    if isinstance(pairwise, Potential):
        return pairwise
    if isinstance(pairwise, type) and issubclass(pairwise, Potential):
        raise TypeError(
            f"pairwise: expected an object, got the class {pairwise.__name__}; "
            f"write {pairwise.__name__}(...)"
        )
    if hasattr(pairwise, "__dlpack__"):  # np.asarray does not say what a GPU's or torch's lacks
        return Table(to_numpy("pairwise", pairwise))
    if isinstance(pairwise, (str, bytes)) or not (
        hasattr(pairwise, "__array__") or isinstance(pairwise, (list, tuple))
    ):
        raise TypeError(
            "pairwise: expected a potential such as mrfcore.TruncatedLinear(2) or a table [L, L], "
            f"got {type(pairwise).__name__}"
        )
    return Table(pairwise)
