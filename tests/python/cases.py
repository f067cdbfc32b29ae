# SPDX-License-Identifier: Apache-2.0
"""Random problems, stated once for the engine and for the reference, and their comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

import mrfcore
import reference as ref

Array = npt.NDArray[Any]

MESSAGE_SOLVERS = ("sgm", "isgmr", "trwp", "bp", "trws")
GRID_SOLVERS = (*MESSAGE_SOLVERS, "mean_field", "icm")
CONNECTIVITIES = (4, 8, 16)


def random_table(num_labels: int) -> Array:
    """Asymmetric, no metric, with negative entries: what a user's own table may be."""
    rng = np.random.default_rng(num_labels)
    return rng.uniform(-1.0, 4.0, (num_labels, num_labels))


# name -> (engine's potential for L labels, the same as a table written out here)
POTENTIALS: dict[str, tuple[Callable[[int], Any], Callable[[int], Array]]] = {
    "potts": (lambda _: mrfcore.Potts(), ref.potts),
    "linear": (
        lambda _: mrfcore.TruncatedLinear(2.5),
        lambda n: ref.truncated_linear(n, 2.5),
    ),
    "linear_untruncated": (
        lambda _: mrfcore.TruncatedLinear(math.inf),
        lambda n: ref.truncated_linear(n, math.inf),
    ),
    "quadratic": (
        lambda _: mrfcore.TruncatedQuadratic(7.0),
        lambda n: ref.truncated_quadratic(n, 7.0),
    ),
    "quadratic_untruncated": (
        lambda _: mrfcore.TruncatedQuadratic(math.inf),
        lambda n: ref.truncated_quadratic(n, math.inf),
    ),
    "sgm_penalty": (lambda _: mrfcore.SGMPenalty(0.7, 2.2), lambda n: ref.sgm_penalty(n, 0.7, 2.2)),
    "huber": (lambda _: mrfcore.Huber(1.5), lambda n: ref.huber(n, 1.5)),
    "cauchy": (lambda _: mrfcore.Cauchy(1.3), lambda n: ref.cauchy(n, 1.3)),
    "table": (lambda n: mrfcore.Table(random_table(n)), random_table),
}


@dataclass(frozen=True)
class Case:
    """One problem; ``weights`` is a number or [P, H, W]."""

    unary: Array
    potential: str
    weights: Any
    connectivity: int = 4

    @property
    def pairwise(self) -> Any:
        return POTENTIALS[self.potential][0](self.unary.shape[-1])

    @property
    def reference(self) -> ref.Problem:
        table = POTENTIALS[self.potential][1](self.unary.shape[-1])
        return ref.problem(self.unary, table, self.weights, self.connectivity)

    def astype(self, dtype: Any) -> Case:
        """Round the numbers; the reference then sees the rounded ones, too."""
        weights = self.weights
        if isinstance(weights, np.ndarray):
            weights = weights.astype(dtype)
        return replace(self, unary=self.unary.astype(dtype), weights=weights)

    def minimize(self, solver: str, iterations: int = 3, **options: Any) -> mrfcore.Result:
        return mrfcore.minimize(
            self.unary,
            self.pairwise,
            self.weights,
            solver=solver,
            connectivity=self.connectivity,
            iterations=iterations,
            **options,
        )

    def energy(self, labels: Any) -> Any:
        return mrfcore.energy(
            labels, self.unary, self.pairwise, self.weights, connectivity=self.connectivity
        )


def random_case(
    shape: tuple[int, int, int],
    potential: str = "linear",
    connectivity: int = 4,
    *,
    weights: str | float = "edges",
    integer: bool = False,
    seed: int = 0,
) -> Case:
    """Costs and weights of like size, so that neither term decides alone. float64."""
    rng = np.random.default_rng([seed, *shape, connectivity])
    edges = (connectivity // 2, *shape[:2])
    if integer:
        unary = rng.integers(0, 12, shape).astype(np.float64)
        drawn = rng.integers(0, 4, edges).astype(np.float64)
    else:
        unary, drawn = rng.uniform(0, 6, shape), rng.uniform(0, 2, edges)
    return Case(unary, potential, drawn if weights == "edges" else weights, connectivity)


REFERENCE: dict[str, Callable[..., ref.Solution]] = {
    "sgm": ref.sgm,
    "isgmr": ref.isgmr,
    "trwp": ref.trwp,
    "bp": ref.bp,
    "trws": ref.trws,
    "mean_field": ref.mean_field,
}


def assert_agrees(case: Case, solver: str, iterations: int, **options: Any) -> None:
    """Labels, costs, energy and lower bound of the engine are those of the reference."""
    got = case.minimize(solver, iterations, lower_bound=True, **options)
    pr = case.reference
    want = REFERENCE[solver](pr, iterations, **options)
    exact = case.unary.dtype == np.float64
    rtol = 1e-9 if exact else 2e-4
    assert_costs(got.costs, want.costs, rtol)
    if exact:
        np.testing.assert_array_equal(got.labels, want.labels)
    np.testing.assert_allclose(got.energy, ref.energy(pr, got.labels), rtol=1e-6, atol=1e-6)
    scale = np.abs(want.costs).sum(where=np.isfinite(want.costs)) + 1
    np.testing.assert_allclose(got.lower_bound, want.lower_bound, atol=1e-2 * rtol * scale)
    assert got.iterations == iterations


def assert_costs(got: Array, want: Array, rtol: float) -> None:
    """Close relative to the largest finite cost; infinities in the same places."""
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isfinite(got), finite)
    atol = rtol * max(1.0, float(np.abs(want[finite]).max(initial=0)))
    np.testing.assert_allclose(got[finite], want[finite], rtol=0, atol=atol)
