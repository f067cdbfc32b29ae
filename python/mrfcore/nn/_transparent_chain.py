# SPDX-License-Identifier: Apache-2.0
"""Random affine maps A_1, ..., A_k whose product is the identity, built in float64.

Section 4.3.2 of Xu's thesis (2022), in its convention: a pixel is a row vector, y = x A + b.

Maps without a neighbourhood are drawn as there, A_k is a right inverse of the product of the others
(Eq 4.4). A convolution has a neighbourhood: its A(z) is a matrix of polynomials, and a random one
has no inverse of finite size. So these are put together from *units* that have one: with P an
orthogonal projection and Q = I - P, the factor Q + P z^-1 (half of the space moves on by a pixel)
is undone by Q + P z, because P Q = 0. A unit is one factor for every axis. Units that have been
applied and not undone yet lie on a stack; every layer undoes some of its predecessors' and applies
new ones, as many as its kernel has room for; the last one undoes the rest. All taps are dense.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["WORST_CONDITION", "AffineMap", "right_inverse", "transparent_chain"]

WORST_CONDITION = 1e4  # of A_1 ... A_{k-1}: errors in float32 grow with it
_DRAWS = 20  # before a chain of such a condition is given up


@dataclass(frozen=True, eq=False)
class AffineMap:
    """y[n] = sum over taps t of x[n + t - left] weight[t] + bias."""

    weight: Tensor
    """[*kernel, m_in, m_out] float64."""
    bias: Tensor
    """[m_out] float64."""
    left: tuple[int, ...] = ()
    """By axis, how far the kernel reaches back."""

    @property
    def right(self) -> tuple[int, ...]:
        """By axis, how far the kernel reaches on."""
        sizes = self.weight.shape[: len(self.left)]
        return tuple(size - 1 - left for size, left in zip(sizes, self.left, strict=True))


def transparent_chain(
    widths: Sequence[int],
    kernels: Sequence[tuple[int, ...]],
    *,
    orthogonal: bool,
    biases: Sequence[bool],
    generator: torch.Generator | None,
) -> tuple[list[AffineMap], float]:
    """Maps of `widths` m_0, ..., m_k = m_0 that undo each other; the condition of their product.

    Args:
        widths: m_i >= m_0 >= 1 for all i (Theorem 1); the caller has checked.
        kernels: of each map, by axis; () for a map of vectors. Of one size along all axes whose
            size is not 1.
        orthogonal: maps of orthonormal rows or columns; implied by a kernel. Else Gaussian.
        biases: which maps have one.
        generator: of the random numbers, on the CPU.

    Raises:
        ValueError: no product of a fair condition could be drawn.
    """
    if orthogonal or any(size > 1 for kernel in kernels for size in kernel):
        weights, lefts = _paraunitary(widths, kernels, generator)
        condition = 1.0
    else:
        matrices, condition = _gaussian(widths, generator)
        weights = [
            m.reshape(*(1 for _ in k), *m.shape) for m, k in zip(matrices, kernels, strict=True)
        ]
        lefts = [tuple(0 for _ in kernel) for kernel in kernels]
    offsets = _biases(weights, biases, generator)
    return [AffineMap(*parts) for parts in zip(weights, offsets, lefts, strict=True)], condition


def right_inverse(matrix: Tensor) -> tuple[Tensor, float]:
    """V D^-1 U^T of a matrix [m, n] = U D V^T of rank m <= n, and its condition.

    Not A^T (A A^T)^-1, which is the same number with twice the digits lost.
    """
    u, d, vh = torch.linalg.svd(matrix, full_matrices=False)
    return (vh.T / d) @ u.T, float(d[0] / d[-1])


def _normal(rows: int, columns: int, generator: torch.Generator | None) -> Tensor:
    # On the CPU whatever torch's default device is: the same numbers everywhere.
    return torch.randn(rows, columns, dtype=torch.float64, generator=generator, device="cpu")


def _orthonormal(rows: int, columns: int, generator: torch.Generator | None) -> Tensor:
    """[rows, columns] with orthonormal rows (rows <= columns), of the uniform (Haar) law."""
    q, r = torch.linalg.qr(_normal(columns, rows, generator))
    return (q * torch.sign(torch.diagonal(r))).T  # QR's signs are not random: R's diagonal is


# ---------------------------------------------------------------- without a neighbourhood


def _gaussian(
    widths: Sequence[int], generator: torch.Generator | None
) -> tuple[list[Tensor], float]:
    """A_1 .. A_{k-1} of variance 1 / m_i, which keeps the norm of a vector (Theorem 3), and A_k."""
    for _ in range(_DRAWS):
        matrices = [
            _normal(m, n, generator) / math.sqrt(n) for m, n in itertools.pairwise(widths[:-1])
        ]
        product = matrices[0]
        for matrix in matrices[1:]:
            product = product @ matrix
        inverse, condition = right_inverse(product)
        if condition <= WORST_CONDITION:
            return [*matrices, inverse], condition
    raise ValueError(
        f"widths: {_DRAWS} draws for {list(widths)} were all too badly conditioned (over "
        f"{WORST_CONDITION:g}) to be undone in float32; make the hidden widths 1.5 times the first "
        "one or more, or take weights='orthogonal'"
    )


def _biases(
    weights: Sequence[Tensor], wanted: Sequence[bool], generator: torch.Generator | None
) -> list[Tensor]:
    """Random ones of variance 1 / m_i, and the last one that takes all of them back (Eq 4.4).

    Where the last map has no bias, none has. A constant passes a convolution as through the sum of
    its taps.
    """
    found = []
    constant = weights[0].new_zeros(weights[0].shape[-2])
    for weight, one in zip(weights[:-1], wanted[:-1], strict=True):
        size = weight.shape[-1]
        bias = _normal(1, size, generator)[0] / math.sqrt(size)
        found.append(bias if one and wanted[-1] else torch.zeros_like(bias))
        constant = constant @ _gain(weight) + found[-1]
    return [*found, -constant @ _gain(weights[-1])]


def _gain(weight: Tensor) -> Tensor:
    """[m_in, m_out]: the sum of all taps."""
    return weight.reshape(-1, *weight.shape[-2:]).sum(0)


# ---------------------------------------------------------------- with a neighbourhood


@dataclass
class _Polynomial:
    """A(z) while it is multiplied: taps [*sizes, a, b]; along an axis, tap i is of z^-(low + i)."""

    taps: Tensor
    low: list[int]

    def times(self, matrix: Tensor) -> None:
        """A(z) M."""
        self.taps = self.taps @ matrix

    def times_factor(self, axis: int, projection: Tensor, *, undo: bool) -> None:
        """A(z) (Q + P z^-1), or to undo that, A(z) (Q + P z)."""
        moved = self.taps @ projection
        kept = self.taps - moved
        none = torch.zeros_like(self.taps.narrow(axis, 0, 1))
        early, late = (moved, kept) if undo else (kept, moved)
        self.taps = torch.cat([early, none], axis) + torch.cat([none, late], axis)
        self.low[axis] -= undo


@dataclass
class _Stack:
    """What was applied and has not been undone: rotations [r, r], and units, a dict by axis."""

    rank: int
    axes: tuple[int, ...]
    generator: torch.Generator | None
    items: list[Tensor | dict[int, Tensor]] = field(default_factory=list)

    @property
    def units(self) -> int:
        return sum(isinstance(item, dict) for item in self.items)

    def push(self, polynomial: _Polynomial, units: int) -> None:
        """Multiply with a random rotation and so many new units."""
        rotation = _orthonormal(self.rank, self.rank, self.generator)
        polynomial.times(rotation)
        self.items.append(rotation)
        for _ in range(units):
            unit = {axis: self._projection() for axis in self.axes}
            for axis, projection in unit.items():
                polynomial.times_factor(axis, projection, undo=False)
            self.items.append(unit)

    def pop(self, polynomial: _Polynomial, units: int) -> None:
        """Multiply with the inverse of the last so many units, and of the rotations between."""
        while units:
            item = self.items.pop()
            self._undo(polynomial, item)
            units -= isinstance(item, dict)

    def pop_all(self, polynomial: _Polynomial) -> None:
        """Undo everything."""
        while self.items:
            self._undo(polynomial, self.items.pop())

    def _undo(self, polynomial: _Polynomial, item: Tensor | dict[int, Tensor]) -> None:
        if isinstance(item, Tensor):
            polynomial.times(item.T)
            return
        for axis, projection in reversed(item.items()):
            polynomial.times_factor(axis, projection, undo=True)

    def _projection(self) -> Tensor:
        """On a random half of the space."""
        rows = _orthonormal(max(1, self.rank // 2), self.rank, self.generator)
        return rows.T @ rows


def _paraunitary(
    widths: Sequence[int], kernels: Sequence[tuple[int, ...]], generator: torch.Generator | None
) -> tuple[list[Tensor], list[tuple[int, ...]]]:
    """Weights, and how far each kernel reaches back.

    All units work in a space of r = min(m_1 .. m_{k-1}) dimensions, which D_i of orthonormal rows
    spreads over the m_i channels behind map i.
    """
    hidden = widths[1:-1]
    rank, axes = min(hidden), tuple(range(len(kernels[0])))
    moving = tuple(axis for axis in axes if max(kernel[axis] for kernel in kernels) > 1)
    room = [max(kernel, default=1) - 1 for kernel in kernels]
    stack = _Stack(rank, moving, generator)
    spread = [_orthonormal(rank, width, generator) for width in hidden]
    first = _orthonormal(widths[0], rank, generator)
    weights, lefts, before = [], [], 0
    for number, kernel in enumerate(kernels):
        into = first if number == 0 else spread[number - 1].T
        polynomial = _Polynomial(into.reshape(*(1 for _ in axes), *into.shape), [0 for _ in axes])
        if number < len(hidden):
            ahead = sum(room[number + 1 :])  # what later layers can undo
            popped = max(min(stack.units, room[number] // 2), stack.units - ahead)
            stack.pop(polynomial, popped)
            stack.push(polynomial, min(room[number] - popped, ahead - stack.units))
            polynomial.times(spread[number])
        else:
            stack.pop_all(polynomial)
            polynomial.times(first.T)
        # Half of what a unit moves is taken back at once: images stay where they are.
        after = stack.units // 2
        shift = {axis: after - before if axis in moving else 0 for axis in axes}
        before = after
        weight, left = _kernel(polynomial, kernel, shift)
        weights.append(weight)
        lefts.append(left)
    return weights, lefts


def _kernel(
    polynomial: _Polynomial, kernel: tuple[int, ...], shift: dict[int, int]
) -> tuple[Tensor, tuple[int, ...]]:
    """Taps as a convolution wants them: the one of z^-j at the place left - (j - shift)."""
    taps, lefts = polynomial.taps, []
    for axis, size in enumerate(kernel):
        low = polynomial.low[axis] - shift[axis]
        high = low + taps.shape[axis] - 1
        left = max(high, min((size - 1) // 2, size - 1 + low))
        before = left - high
        spare = size - taps.shape[axis]
        shape = list(taps.shape)
        ends = []
        for count in (before, spare - before):
            shape[axis] = count
            ends.append(taps.new_zeros(shape))
        taps = torch.cat([ends[0], taps.flip(axis), ends[1]], axis)
        lefts.append(left)
    return taps, tuple(lefts)
