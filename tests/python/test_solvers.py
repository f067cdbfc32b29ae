# SPDX-License-Identifier: Apache-2.0
"""Every solver against the NumPy reference, over potentials, connectivities, sizes and options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mrfcore
import reference as ref
from cases import (
    CONNECTIVITIES,
    GRID_SOLVERS,
    POTENTIALS,
    REFERENCE,
    Case,
    assert_agrees,
    assert_costs,
    random_case,
)

OPTIONS: list[tuple[str, int, dict[str, Any]]] = [
    ("sgm", 1, {}),
    ("sgm", 3, {}),
    ("sgm", 1, {"head": "zero"}),
    ("sgm", 3, {"head": "zero"}),
    ("isgmr", 1, {}),
    ("isgmr", 4, {}),
    ("isgmr", 4, {"damping": 0.4}),
    ("trwp", 1, {}),
    ("trwp", 4, {}),
    ("trwp", 3, {"rho": 0.5}),
    ("trwp", 3, {"rho": 0.3}),
    ("trwp", 4, {"damping": 0.4}),
    ("bp", 3, {}),
    ("bp", 3, {"damping": 0.25}),
    ("trws", 1, {}),
    ("trws", 4, {}),
    ("mean_field", 1, {}),
    ("mean_field", 5, {}),
    ("mean_field", 5, {"normalise": "directions"}),
]


@pytest.mark.parametrize("potential", POTENTIALS)
def test_potential_tables(potential: str) -> None:
    make, table = POTENTIALS[potential]
    got = make(9).table(9)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, table(9), rtol=1e-14)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("potential", POTENTIALS)
@pytest.mark.parametrize("solver", REFERENCE)
def test_potentials_and_connectivities(solver: str, potential: str, connectivity: int) -> None:
    assert_agrees(random_case((5, 6, 5), potential, connectivity), solver, 3)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize(("solver", "iterations", "options"), OPTIONS)
def test_options(solver: str, iterations: int, options: dict[str, Any], connectivity: int) -> None:
    """The asymmetric table also fixes which end of an edge is which in every direction."""
    case = random_case((6, 5, 4), "table", connectivity, seed=1)
    assert_agrees(case, solver, iterations, **options)


@pytest.mark.parametrize("min_convolution", ["auto", "general"])
@pytest.mark.parametrize("potential", ["potts", "linear", "quadratic", "sgm_penalty"])
@pytest.mark.parametrize("solver", ["sgm", "isgmr", "trwp", "bp", "trws"])
def test_both_min_convolutions(solver: str, potential: str, min_convolution: str) -> None:
    case = random_case((5, 7, 11), potential, 4, seed=3)
    got = case.minimize(solver, 2, min_convolution=min_convolution)
    want = REFERENCE[solver](case.reference, 2)
    assert_costs(got.costs, want.costs, 1e-9)
    np.testing.assert_array_equal(got.labels, want.labels)


@pytest.mark.parametrize("potential", ["potts", "linear", "quadratic", "huber", "table"])
@pytest.mark.parametrize("solver", REFERENCE)
def test_float32(solver: str, potential: str) -> None:
    case = random_case((6, 7, 9), potential, 4, seed=4).astype(np.float32)
    assert_agrees(case, solver, 3)
    assert case.minimize(solver).costs.dtype == np.float32


@pytest.mark.parametrize("weights", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("solver", REFERENCE)
def test_scalar_weights(solver: str, weights: float) -> None:
    assert_agrees(random_case((4, 5, 3), "linear", 8, weights=weights), solver, 2)


@pytest.mark.parametrize("potential", ["linear", "quadratic", "cauchy"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 4), (1, 9, 4), (9, 1, 4), (2, 2, 3), (37, 19, 6), (3, 70, 5)]
)
@pytest.mark.parametrize("solver", REFERENCE)
def test_image_sizes(solver: str, shape: tuple[int, int, int], potential: str) -> None:
    """One row, one column, one pixel; sizes that do not divide into tiles."""
    connectivity = 16 if shape[0] < 10 else 4
    assert_agrees(random_case(shape, potential, connectivity), solver, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("potential", ["potts", "linear", "quadratic", "sgm_penalty", "table"])
@pytest.mark.parametrize("num_labels", [1, 2, 7, 8, 9, 15, 16, 17, 33, 255, 256, 257])
def test_label_counts(num_labels: int, potential: str, dtype: Any) -> None:
    case = random_case((3, 4, num_labels), potential, 4).astype(dtype)
    for solver in ("sgm", "trwp", "trws"):
        assert_agrees(case, solver, 2)


@pytest.mark.parametrize("potential", ["linear", "quadratic", "table"])
@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_a_thousand_labels(solver: str, potential: str) -> None:
    case = random_case((2, 3, 1000), potential, 4)
    if solver == "icm":
        assert_local_minimum(case, case.minimize("icm", 50).labels)
    else:
        assert_agrees(case, solver, 1)


@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_one_label(solver: str) -> None:
    case = random_case((4, 5, 1), "potts")
    got = case.minimize(solver, 2, lower_bound=True)
    assert not got.labels.any()
    assert got.energy == pytest.approx(case.unary.sum())
    assert got.lower_bound == pytest.approx(case.unary.sum())


@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_no_iterations_is_the_unary(solver: str) -> None:
    case = random_case((4, 5, 6), "linear")
    got = case.minimize(solver, 0)
    np.testing.assert_array_equal(got.labels, case.unary.argmin(2))
    np.testing.assert_array_equal(got.costs, case.unary)
    assert got.iterations == 0


# ---------------------------------------------------------------- ICM


def assert_local_minimum(case: Case, labels: Any) -> None:
    costs = ref.conditional_costs(case.reference, labels)
    chosen = np.take_along_axis(costs, labels[..., None].astype(np.int64), 2)[..., 0]
    np.testing.assert_allclose(chosen, costs.min(2), atol=1e-9)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("potential", ["potts", "quadratic", "table"])
def test_icm_descends_to_a_local_minimum(potential: str, connectivity: int) -> None:
    case = random_case((9, 8, 5), potential, connectivity)
    got = case.minimize("icm", 100, trace=True)
    start = ref.energy(case.reference, case.unary.argmin(2))
    energies = np.concatenate([[start], got.trace.energy])
    assert (np.diff(energies) <= 1e-9).all()
    assert energies[-1] < energies[0]
    assert_local_minimum(case, got.labels)


@pytest.mark.parametrize("iterations", [1, 2])
def test_icm_sweeps_the_checkerboard(iterations: int) -> None:
    case = random_case((9, 8, 5), "quadratic", 4, seed=2)
    got = case.minimize("icm", iterations).labels
    orders = [ref.icm(case.reference, iterations, first) for first in (0, 1)]
    assert any((got == want).all() for want in orders)


def test_icm_starts_where_told() -> None:
    case = random_case((6, 7, 4), "potts", 4)
    best = case.minimize("icm", 100).labels
    np.testing.assert_array_equal(case.minimize("icm", 1, init=best).labels, best)
    other = np.full((6, 7), 3, np.int32)
    np.testing.assert_array_equal(case.minimize("icm", 0, init=other).labels, other)


# ---------------------------------------------------------------- chains


@pytest.mark.parametrize("potential", POTENTIALS)
@pytest.mark.parametrize("shape", [(1, 11, 5), (11, 1, 5), (1, 1, 5), (1, 2, 300)])
def test_chain_min_marginals(shape: tuple[int, int, int], potential: str) -> None:
    case = random_case(shape, potential)
    got = case.minimize("chain", 1, lower_bound=True)
    want = ref.chain(case.reference)
    assert_costs(got.costs, want, 1e-9)
    np.testing.assert_allclose(got.costs.min(2), got.energy)
    np.testing.assert_array_equal(got.labels, want.argmin(2))
    assert got.lower_bound == pytest.approx(got.energy)


def test_chain_labels_are_optimal_under_ties() -> None:
    """Arg-mins of min-marginals of different optima need not fit together; the labels must."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        unary = rng.integers(0, 2, (1, 7, 3)).astype(np.float64)
        case = Case(unary, "potts", 1.0)
        got = case.minimize("chain", 1)
        optimum, _ = ref.brute_force(case.reference)
        assert got.energy == pytest.approx(optimum)
        assert ref.energy(case.reference, got.labels) == pytest.approx(optimum)


# ---------------------------------------------------------------- energy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("potential", POTENTIALS)
@pytest.mark.parametrize("shape", [(5, 7, 4), (1, 6, 4), (6, 1, 4), (2, 1, 1)])
def test_energy(shape: tuple[int, int, int], potential: str, connectivity: int, dtype: Any) -> None:
    case = random_case(shape, potential, connectivity).astype(dtype)
    labels = np.random.default_rng(5).integers(0, shape[2], shape[:2])
    want = ref.energy(case.reference, labels)
    for kind in (np.int32, np.int64, np.uint8):
        got = case.energy(labels.astype(kind))
        assert isinstance(got, float)
        assert got == pytest.approx(want, rel=1e-6 if dtype == np.float32 else 1e-12)


def test_energy_is_summed_in_double() -> None:
    """Single-precision sums lose the last digits above 2^24; published tables did."""
    unary = np.full((300, 300, 2), 1001.0, np.float32)
    labels = np.zeros((300, 300), np.int32)
    assert mrfcore.energy(labels, unary, mrfcore.Potts()) == 90090000.0


def test_weights_of_edges_that_leave_the_image_do_not_count() -> None:
    case = random_case((4, 5, 3), "linear", 8)
    inside = np.zeros_like(case.weights)
    for pair in range(4):
        first, _ = ref.edges(case.reference, pair)
        inside[(pair, *first)] = case.weights[(pair, *first)]
    wild = np.where(inside == 0, 1e6, case.weights)
    for solver in GRID_SOLVERS:
        a = case.minimize(solver, 2)
        b = Case(case.unary, "linear", wild, 8).minimize(solver, 2)
        np.testing.assert_array_equal(a.costs, b.costs)
        assert a.energy == b.energy
