# SPDX-License-Identifier: Apache-2.0
"""Lower bounds and optima: max-flow on two labels, monotone TRW-S, damped and kept-best runs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import mrfcore
import reference as ref
from cases import CONNECTIVITIES, GRID_SOLVERS, Case, random_case


def max_flow_optimum(pr: ref.Problem) -> float:
    """Optimal energy of a two-label Potts problem: the minimum cut (Kolmogorov & Zabih 2004)."""
    maxflow = pytest.importorskip("maxflow", reason="PyMaxflow is not installed")
    height, width, _ = pr.shape
    graph = maxflow.Graph[float]()
    nodes = graph.add_grid_nodes((height, width))
    for y, x in itertools.product(range(height), range(width)):
        graph.add_tedge(nodes[y, x], pr.unary[y, x, 1], pr.unary[y, x, 0])
    for pair in range(pr.connectivity // 2):
        first, second = ref.edges(pr, pair)
        ends = (nodes[first].flat, nodes[second].flat, pr.weights[(pair, *first)].flat)
        for a, b, w in zip(*ends, strict=True):
            graph.add_edge(a, b, w, w)
    return float(graph.maxflow())


def scipy_optimum(pr: ref.Problem) -> float:
    """The same by scipy, whose flows are integers; the problem's numbers must be, too."""
    sparse = pytest.importorskip("scipy.sparse", reason="scipy is not installed")
    from scipy.sparse.csgraph import maximum_flow

    height, width, _ = pr.shape
    count = height * width
    nodes = np.arange(count).reshape(height, width)
    capacity = np.zeros((count + 2, count + 2), np.int32)
    capacity[count, :count] = pr.unary[..., 1].reshape(-1)
    capacity[:count, count + 1] = pr.unary[..., 0].reshape(-1)
    for pair in range(pr.connectivity // 2):
        first, second = ref.edges(pr, pair)
        capacity[nodes[first].ravel(), nodes[second].ravel()] = pr.weights[(pair, *first)].ravel()
        capacity[nodes[second].ravel(), nodes[first].ravel()] = pr.weights[(pair, *first)].ravel()
    return float(maximum_flow(sparse.csr_array(capacity), count, count + 1).flow_value)


def optimum_of(pr: ref.Problem) -> float:
    try:
        import maxflow  # noqa: F401
    except ImportError:
        return scipy_optimum(pr)
    return max_flow_optimum(pr)


def _two_labels(connectivity: int, seed: int) -> Case:
    return random_case((9, 11, 2), "potts", connectivity, integer=True, seed=seed)


def test_both_oracles_agree() -> None:
    pr = _two_labels(8, 0).reference
    assert max_flow_optimum(pr) == scipy_optimum(pr)
    small = random_case((3, 4, 2), "potts", 8, integer=True).reference
    assert optimum_of(small) == ref.brute_force(small)[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_two_labels_against_max_flow(connectivity: int, seed: int) -> None:
    """Submodular: the relaxation is tight, so TRW-S closes in on the optimum from below."""
    case = _two_labels(connectivity, seed)
    optimum = optimum_of(case.reference)
    for solver in GRID_SOLVERS:
        got = case.minimize(solver, 30, lower_bound=True)
        assert got.lower_bound <= optimum + 1e-9, solver
        assert got.energy >= optimum - 1e-9, solver
    got = case.minimize("trws", 1000, lower_bound=True, keep_best=True)
    assert got.lower_bound == pytest.approx(optimum, rel=2e-3)
    assert got.energy <= optimum * 1.005
    got = case.minimize("trwp", 1000, lower_bound=True, keep_best=True)
    assert got.lower_bound == pytest.approx(optimum, rel=2e-2)
    assert got.energy <= optimum * 1.02


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("potential", ["potts", "linear", "quadratic", "table"])
def test_trws_bound_never_falls(potential: str, connectivity: int, dtype: Any) -> None:
    case = random_case((12, 13, 7), potential, connectivity).astype(dtype)
    bounds = case.minimize("trws", 40, trace=True, lower_bound=True).trace.lower_bound
    slack = 1e-9 if dtype == np.float64 else 1e-5
    assert (np.diff(bounds) >= -slack * np.abs(bounds[1:])).all()
    assert bounds[-1] > bounds[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_bounds_stay_below_energies(solver: str, dtype: Any) -> None:
    case = random_case((14, 9, 6), "quadratic", 8).astype(dtype)
    trace = case.minimize(solver, 25, trace=True, lower_bound=True).trace
    best = min(case.minimize(s, 50, keep_best=True).energy for s in ("trws", "trwp", "bp"))
    assert (trace.lower_bound <= best * (1 + 1e-6)).all()


@pytest.mark.parametrize("options", [{"rho": 0.2}, {"rho": 1.0}, {"damping": 0.5}])
def test_bound_is_valid_for_any_schedule(options: dict[str, float]) -> None:
    """Any messages describe the same energy, so any rho and damping leave the bound valid."""
    case = random_case((3, 3, 3), "table", 8, seed=7)
    optimum, _ = ref.brute_force(case.reference)
    bounds = case.minimize("trwp", 15, trace=True, lower_bound=True, **options).trace.lower_bound
    assert (bounds <= optimum + 1e-9).all()


def test_trwp_bound_closes_the_gap() -> None:
    """Worth reporting: with the right rho the bound rises far above that of no messages."""
    case = random_case((20, 21, 8), "linear", 4)
    trivial = case.minimize("trwp", 0, lower_bound=True)
    got = case.minimize("trwp", 60, lower_bound=True)
    assert got.gap < 0.01 < trivial.gap
    assert got.gap == (got.energy - got.lower_bound) / abs(got.energy)


def test_no_bound_unless_asked() -> None:
    got = random_case((4, 5, 3)).minimize("trwp", 2)
    assert got.lower_bound is None
    assert got.gap is None
    assert got.trace is None


def _oscillating() -> Case:
    """Strong links and weak data: undamped ISGMR and BP leave good labellings again."""
    case = random_case((12, 12, 8), "linear", 4, seed=3)
    return Case(case.unary, "linear", 4 * case.weights, 4)


@pytest.mark.parametrize("solver", ["isgmr", "bp", "trws", "mean_field", "sgm"])
def test_keep_best_returns_the_lowest_energy(solver: str) -> None:
    case = _oscillating()
    last = case.minimize(solver, 25, trace=True)
    best = case.minimize(solver, 25, trace=True, keep_best=True)
    np.testing.assert_array_equal(last.trace.energy, best.trace.energy)
    assert best.energy == best.trace.energy.min()
    assert last.energy == last.trace.energy[-1]
    assert ref.energy(case.reference, best.labels) == pytest.approx(best.energy)


def test_keep_best_makes_a_difference_somewhere() -> None:
    case = _oscillating()
    worse = [
        s
        for s in ("isgmr", "bp", "mean_field")
        if case.minimize(s, 25, keep_best=True).energy < case.minimize(s, 25).energy
    ]
    assert worse


def test_huge_costs_do_not_break_the_bound() -> None:
    unary = random_case((5, 5, 4)).unary * 1e12
    got = mrfcore.minimize(unary, mrfcore.Potts(), 9e11, iterations=20, lower_bound=True)
    assert np.isfinite(got.lower_bound)
    assert got.lower_bound <= got.energy * (1 + 1e-12)
