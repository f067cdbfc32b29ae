# SPDX-License-Identifier: Apache-2.0
"""Costs and edge weights read window by window, and a window tied to the labels around it."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrfcore._arrays import to_numpy
from mrfcore._minimize import check_weight, energy
from mrfcore._tile_windows import Area, Crossing, Window, crossings, reach
from mrfcore.potentials import Potential

__all__ = ["Block", "Piece", "Terms", "UnarySource", "WeightSource", "find_shape"]

Array = npt.NDArray[Any]


def find_shape(unary: Any, shape: Any) -> tuple[int, int, int]:
    """(H, W, L) of what minimize_tiled was given."""
    known = getattr(unary, "shape", None)
    if known is None and not callable(unary):
        raise TypeError(
            "unary: expected an array [H, W, L] that can be sliced, or a function "
            f"(top, bottom, left, right) -> [h, w, L], got {type(unary).__name__}"
        )
    if known is None and shape is None:
        raise TypeError("shape: expected (H, W, L), since unary is a function, got None")
    if known is not None and shape is not None and tuple(shape) != tuple(known):
        raise ValueError(f"shape: unary has {list(known)}, got {list(shape)}")
    sizes = tuple(int(n) for n in (known if known is not None else shape))
    if len(sizes) != 3 or min(sizes) < 1:
        name = "unary" if known is not None else "shape"
        raise ValueError(
            f"{name}: expected [H, W, L] without empty dimensions (tiles are of one image, not of "
            f"a batch), got {list(sizes)}"
        )
    return sizes[0], sizes[1], sizes[2]


@dataclass(frozen=True)
class UnarySource:
    """Costs of a whole image, wherever they are."""

    source: Any
    labels: int
    dtype: np.dtype[Any]

    def read(self, window: Window) -> Array:
        """[h, w, L], contiguous, a copy."""
        part = _part("unary", self.source, window, ())
        array = to_numpy("unary", part)
        expected = (window.height, window.width, self.labels)
        _check_shape("unary", array.shape, expected, window)
        return np.array(array, dtype=self.dtype, order="C")


@dataclass(frozen=True)
class Block:
    """Edge weights of a window, or one number for all edges."""

    values: Any  # a NumPy number, or [P, h, w]
    window: Window

    def of_pair(self, pair: int, window: Window) -> Any:
        return self.values if np.ndim(self.values) == 0 else self._cut(window)[pair]

    def inside(self, window: Window) -> Any:
        """As minimize takes them."""
        if np.ndim(self.values) == 0:
            return float(self.values)
        return np.ascontiguousarray(self._cut(window))

    def _cut(self, window: Window) -> Array:
        rows, columns = window.within(self.window)
        cut: Array = self.values[:, rows, columns]
        return cut


class WeightSource:
    """Edge weights of a whole image: a number, an array [P, H, W], or a function of windows."""

    def __init__(self, weights: Any, sizes: tuple[int, int], connectivity: int, dtype: Any) -> None:
        self._source, self._dtype = weights, dtype
        self._height, self._width = sizes
        self._pairs, self._reach = connectivity // 2, reach(connectivity)
        self._number: Any = None
        if isinstance(weights, numbers.Real) and not isinstance(weights, bool):
            self._number = dtype.type(check_weight(weights))
        elif not callable(weights):
            shape = tuple(getattr(weights, "shape", np.shape(weights)))
            if shape == ():
                self._number = dtype.type(check_weight(to_numpy("weights", weights).item()))
            elif shape != (self._pairs, *sizes):
                raise ValueError(
                    f"weights: expected a number, shape {[self._pairs, *sizes]} (tiles share no "
                    f"batch) or a function of windows, got shape {list(shape)}"
                )

    @property
    def per_edge(self) -> bool:
        return self._number is None

    def around(self, window: Window) -> Block:
        """Of all edges that touch the window."""
        if self._number is not None:
            return Block(self._number, window)
        wide = window.grown(self._reach, self._height, self._width)
        array = to_numpy("weights", _part("weights", self._source, wide, (slice(None),)))
        _check_shape("weights", array.shape, (self._pairs, wide.height, wide.width), wide)
        return Block(np.asarray(array, dtype=self._dtype), wide)


def _part(name: str, source: Any, window: Window, before: tuple[Any, ...]) -> Any:
    if callable(source):
        return source(window.top, window.bottom, window.left, window.right)
    try:
        return source[before + window.area]
    except TypeError as error:
        raise TypeError(
            f"{name}: expected an array that can be sliced by rows and columns, got "
            f"{type(source).__name__} ({error})"
        ) from error


def _check_shape(
    name: str, got: tuple[int, ...], expected: tuple[int, ...], window: Window
) -> None:
    if got != expected:
        raise ValueError(
            f"{name}: expected shape {list(expected)} for the window {list(window)} (top, bottom, "
            f"left, right), got {list(got)}"
        )


def _check_values(weights: Array, pair: int, owner: Window) -> None:
    """Of edges between windows, which minimize does not see."""
    bad = ~((weights >= 0) & (weights < 1e12))
    if bad.any():
        y, x = np.argwhere(np.broadcast_to(bad, (owner.height, owner.width)))[0]
        raise ValueError(
            f"weights: expected numbers in [0, 1e12), got {weights[bad].flat[0]:g} at "
            f"[{pair}, {owner.top + y}, {owner.left + x}]"
        )


class Terms(NamedTuple):
    """What all windows share."""

    pairwise: Potential
    table: npt.NDArray[np.float64]
    """V, [L, L]."""
    connectivity: int
    threads: int | None


class Piece:
    """The problem on a window, given the labels around it.

    Its energy counts the window's own costs and edges, and the edges to pixels outside that have a
    label; no others.
    """

    def __init__(
        self,
        window: Window,
        unary: Array,
        weights: Block,
        terms: Terms,
        labels: npt.NDArray[np.int32],
    ) -> None:
        """Tie it to the labels around.

        Args:
            window: of the image.
            unary: [h, w, L]; written to for the time of a solve.
            weights: of all edges that touch the window.
            terms: V and which neighbours there are.
            labels: [H, W] of the whole image, negative where there is none yet.
        """
        self.window, self.unary = window, unary
        self.inside = weights.inside(window)
        """Weights within the window, as minimize takes them."""
        self.tie_weight = 0.0
        """Sum of the weights of the edges to labels outside."""
        self._weights, self._terms = weights, terms
        self._ties: list[tuple[Area, npt.NDArray[np.float64]]] = []
        height, width = labels.shape
        for edge in crossings(window, height, width, terms.connectivity):
            outside = labels[edge.outside.area]
            if (outside >= 0).any():
                self._tie(edge, outside)

    def _tie(self, edge: Crossing, outside: npt.NDArray[np.int32]) -> None:
        """What the labels outside cost each label inside."""
        owner = edge.inside if edge.owner_inside else edge.outside
        weight = np.asarray(self._weights.of_pair(edge.pair, owner), np.float64)
        _check_values(weight, edge.pair, owner)
        known = outside >= 0
        weight = np.where(known, weight, 0.0)
        self.tie_weight += float(weight.sum())
        table = self._terms.table
        by_outside = table.T if edge.owner_inside else table  # [label outside, label inside]
        costs = by_outside[np.where(known, outside, 0)]
        costs *= weight[..., np.newaxis]
        self._ties.append((edge.inside.within(self.window), costs))

    def cut(self, window: Window, labels: npt.NDArray[np.int32]) -> Piece:
        """The same on a part of it."""
        unary = np.ascontiguousarray(self.unary[window.within(self.window)])
        return Piece(window, unary, self._weights, self._terms, labels)

    @contextmanager
    def tied(self) -> Iterator[Array]:
        """The unary with what the ties cost added, in place: of memory there is little."""
        before = [self.unary[area].copy() for area, _ in self._ties]
        for area, costs in self._ties:
            self.unary[area] += costs
        try:
            yield self.unary
        finally:
            for (area, _), values in zip(self._ties, before, strict=True):
                self.unary[area] = values

    def energy(self, labels: npt.NDArray[np.int32]) -> float:
        """Of labels [h, w] in the window."""
        terms = self._terms
        own = energy(
            labels,
            self.unary,
            terms.pairwise,
            self.inside,
            connectivity=terms.connectivity,
            threads=terms.threads,
        )
        ties = 0.0
        for area, costs in self._ties:
            ties += np.take_along_axis(costs, labels[area][..., np.newaxis], axis=2).sum()
        return float(own) + float(ties)
