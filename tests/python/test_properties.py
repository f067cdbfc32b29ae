# SPDX-License-Identifier: Apache-2.0
"""What must hold for any problem: symmetries, exact cases, forbidden labels, same bits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mrfcore
import reference as ref
from cases import (
    CONNECTIVITIES,
    GRID_SOLVERS,
    MESSAGE_SOLVERS,
    POTENTIALS,
    Case,
    assert_costs,
    random_case,
)

# ---------------------------------------------------------------- exact cases


@given(
    length=st.integers(1, 9),
    num_labels=st.integers(1, 6),
    potential=st.sampled_from(sorted(POTENTIALS)),
    upright=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_chains_are_exact(
    length: int, num_labels: int, potential: str, upright: bool, seed: int
) -> None:
    shape = (length, 1, num_labels) if upright else (1, length, num_labels)
    case = random_case(shape, potential, seed=seed)
    marginals = ref.chain(case.reference)
    optimum = marginals.min()
    # TRW-S carries the optimum forward and reads it off backward; TRWP needs more: 1/2 per end.
    for solver, iterations in (("isgmr", 1), ("bp", 1), ("trws", 1), ("trwp", 60), ("chain", 1)):
        got = case.minimize(solver, iterations, lower_bound=True)
        np.testing.assert_array_equal(got.labels, marginals.argmin(2), err_msg=solver)
        assert got.energy == pytest.approx(optimum, abs=1e-9)
        assert got.lower_bound <= optimum + 1e-9
        if solver in ("trws", "chain"):
            assert got.lower_bound == pytest.approx(optimum, abs=1e-9)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_without_pair_terms_the_unary_decides(solver: str, connectivity: int) -> None:
    unary = random_case((6, 7, 5), connectivity=connectivity).unary
    zero_table = mrfcore.Table(np.zeros((5, 5)))
    for pairwise, weights in ((zero_table, 1.0), (mrfcore.Potts(), 0.0)):
        got = mrfcore.minimize(
            unary, pairwise, weights, solver=solver, connectivity=connectivity, iterations=3
        )
        np.testing.assert_array_equal(got.labels, unary.argmin(2))
        assert got.energy == pytest.approx(unary.min(2).sum())


@given(
    potential=st.sampled_from(sorted(POTENTIALS)),
    connectivity=st.sampled_from(CONNECTIVITIES),
    seed=st.integers(0, 10**6),
)
def test_exhaustive_search_brackets_every_solver(
    potential: str, connectivity: int, seed: int
) -> None:
    case = random_case((3, 3, 3), potential, connectivity, seed=seed)
    optimum, _ = ref.brute_force(case.reference)
    for solver in GRID_SOLVERS:
        got = case.minimize(solver, 20, lower_bound=True, keep_best=True)
        assert got.lower_bound <= optimum + 1e-9, solver
        assert got.energy >= optimum - 1e-9, solver
        assert got.energy == pytest.approx(ref.energy(case.reference, got.labels)), solver
        assert got.gap == pytest.approx(
            (got.energy - got.lower_bound) / max(abs(got.energy), 1e-300), abs=1e-12
        )


# ---------------------------------------------------------------- symmetries


@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_constants_in_the_unary_change_only_the_energy(solver: str) -> None:
    case = random_case((6, 7, 5), "linear", 8)
    shift = np.random.default_rng(1).uniform(-50, 50, (6, 7, 1))
    before = case.minimize(solver, 4)
    after = replace(case, unary=case.unary + shift).minimize(solver, 4)
    np.testing.assert_array_equal(before.labels, after.labels)
    assert after.energy == pytest.approx(before.energy + shift.sum())


@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_labels_of_potts_are_just_names(solver: str) -> None:
    case = random_case((6, 7, 9), "potts", 8)
    names = np.random.default_rng(2).permutation(9)  # new label of old column k: position in names
    before = case.minimize(solver, 4)
    after = replace(case, unary=np.ascontiguousarray(case.unary[..., names])).minimize(solver, 4)
    np.testing.assert_array_equal(names[after.labels], before.labels)
    np.testing.assert_allclose(after.costs, before.costs[..., names], atol=1e-9)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("potential", ["linear", "quadratic", "cauchy"])
@pytest.mark.parametrize("solver", ["sgm", "isgmr", "mean_field"])
def test_transposing_the_image_transposes_the_result(
    solver: str, potential: str, connectivity: int
) -> None:
    """For solvers whose directions are equals. Columns trade places with rows."""
    case = random_case((6, 9, 5), potential, connectivity)
    turned = np.zeros((connectivity // 2, 9, 6))
    turned[0], turned[1] = case.weights[1].T, case.weights[0].T
    if connectivity == 8:
        turned[2] = case.weights[2].T  # (1, 1) stays
        turned[3, :-1, 1:] = case.weights[3].T[1:, :-1]  # (1, -1) is owned by its other end
    other = Case(case.unary.transpose(1, 0, 2).copy(), potential, turned, connectivity)
    a, b = case.minimize(solver, 4), other.minimize(solver, 4)
    np.testing.assert_array_equal(a.labels.T, b.labels)
    np.testing.assert_allclose(a.costs.transpose(1, 0, 2), b.costs, atol=1e-9)


# ---------------------------------------------------------------- O(L) against O(L^2)


@st.composite
def fast_potentials(draw: st.DrawFn) -> Any:
    """Potentials with a fast path, with parameters on and off the integers."""
    kind = draw(st.sampled_from(["potts", "linear", "quadratic", "sgm"]))
    number = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.75, 9.0, 1000.0, math.inf])
    if kind == "potts":
        return mrfcore.Potts()
    if kind == "linear":
        return mrfcore.TruncatedLinear(draw(number))
    if kind == "quadratic":
        return mrfcore.TruncatedQuadratic(draw(number))
    p1 = draw(st.sampled_from([0.0, 0.5, 1.0, 4.0]))
    return mrfcore.SGMPenalty(p1, p1 + draw(st.sampled_from([0.0, 0.5, 2.0, 40.0])))


@given(
    pairwise=fast_potentials(),
    dtype=st.sampled_from([np.float32, np.float64]),
    num_labels=st.integers(1, 70),
    solver=st.sampled_from(MESSAGE_SOLVERS),
    scalar=st.sampled_from([None, 0.0, 1.0, 0.3]),
    forbidden=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_fast_path_equals_general_path(
    pairwise: Any,
    dtype: Any,
    num_labels: int,
    solver: str,
    scalar: float | None,
    forbidden: bool,
    seed: int,
) -> None:
    case = random_case((5, 6, num_labels), connectivity=8, seed=seed).astype(dtype)
    weights = case.weights if scalar is None else scalar
    unary = _forbid(case.unary, seed) if forbidden else case.unary
    fast, general = (
        mrfcore.minimize(
            unary,
            pairwise,
            weights,
            solver=solver,
            connectivity=8,
            iterations=2,
            min_convolution=path,
        )
        for path in ("auto", "general")
    )
    assert_costs(fast.costs, general.costs, 1e-12 if dtype == np.float64 else 1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("potential", ["potts", "linear", "quadratic", "sgm"])
@pytest.mark.parametrize("solver", MESSAGE_SOLVERS)
def test_fast_path_is_exact_on_integers(solver: str, potential: str, dtype: Any) -> None:
    """Every sum is then a dyadic number with few bits: no rounding, so no difference at all."""
    pairwise = {
        "potts": mrfcore.Potts(),
        "linear": mrfcore.TruncatedLinear(4),
        "quadratic": mrfcore.TruncatedQuadratic(30),
        "sgm": mrfcore.SGMPenalty(1, 5),
    }[potential]
    shape = (4, 4, 23)
    case = random_case(shape, integer=True).astype(dtype)
    for iterations in (1, 2) if dtype == np.float64 else (1,):
        fast, general = (
            mrfcore.minimize(
                case.unary,
                pairwise,
                case.weights,
                solver=solver,
                iterations=iterations,
                min_convolution=path,
            )
            for path in ("auto", "general")
        )
        np.testing.assert_array_equal(fast.costs, general.costs)
        np.testing.assert_array_equal(fast.labels, general.labels)
        assert fast.energy == general.energy


def test_ties_go_to_the_lowest_label() -> None:
    unary = np.zeros((5, 6, 7), np.float32)
    for solver in (*GRID_SOLVERS, "chain"):
        field = unary[:1] if solver == "chain" else unary
        got = mrfcore.minimize(field, mrfcore.Potts(), solver=solver, iterations=2)
        assert not got.labels.any(), solver


# ---------------------------------------------------------------- forbidden labels


def _forbid(unary: npt.NDArray[Any], seed: int = 0) -> npt.NDArray[Any]:
    """About a third of the labels become +inf, never all of a node."""
    rng = np.random.default_rng(seed)
    mask = rng.random(unary.shape) < 0.35
    keep = rng.integers(0, unary.shape[2], unary.shape[:2])
    np.put_along_axis(mask, keep[..., None], False, 2)
    return np.where(mask, np.inf, unary).astype(unary.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("potential", ["potts", "linear", "quadratic", "table"])
@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_forbidden_labels_are_never_chosen(solver: str, potential: str, dtype: Any) -> None:
    case = random_case((6, 7, 5), potential).astype(dtype)
    case = replace(case, unary=_forbid(case.unary))
    got = case.minimize(solver, 5, lower_bound=True)
    chosen = np.take_along_axis(case.unary, got.labels[..., None].astype(np.int64), 2)
    assert np.isfinite(chosen).all()
    assert math.isfinite(got.energy)
    assert math.isfinite(got.lower_bound)
    assert got.lower_bound <= got.energy + 1e-5 * abs(got.energy)
    assert not np.isnan(got.costs).any()


@pytest.mark.parametrize("solver", ["sgm", "isgmr", "trwp", "bp", "trws", "mean_field"])
def test_forbidden_labels_follow_the_reference(solver: str) -> None:
    from cases import assert_agrees

    case = random_case((6, 7, 5), "linear", 8)
    assert_agrees(replace(case, unary=_forbid(case.unary)), solver, 2)


@pytest.mark.parametrize("solver", [*GRID_SOLVERS, "chain"])
def test_forbidden_labels_on_a_chain(solver: str) -> None:
    case = random_case((1, 8, 5), "linear")
    case = replace(case, unary=_forbid(case.unary))
    got = case.minimize(solver, 3)
    chosen = np.take_along_axis(case.unary, got.labels[..., None].astype(np.int64), 2)
    assert np.isfinite(chosen).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("potential", ["potts", "quadratic", "table"])
@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_a_node_without_any_allowed_label(solver: str, potential: str, dtype: Any) -> None:
    """Its energy is infinite, its neighbours still get allowed labels, nothing becomes NaN."""
    case = random_case((6, 7, 5), potential).astype(dtype)
    unary = _forbid(case.unary)
    unary[2, 3] = np.inf
    case = replace(case, unary=unary)
    got = case.minimize(solver, 4, lower_bound=True)
    assert got.energy == math.inf
    assert ((got.labels >= 0) & (got.labels < 5)).all()
    chosen = np.take_along_axis(unary, got.labels[..., None].astype(np.int64), 2)[..., 0]
    chosen[2, 3] = 0
    assert np.isfinite(chosen).all()
    assert not np.isnan(got.costs).any()
    assert not math.isnan(got.lower_bound)
    assert got.gap is None or got.gap >= 0 or math.isnan(got.gap)  # and no warning on the way


# ---------------------------------------------------------------- same bits


def _same(a: mrfcore.Result, b: mrfcore.Result) -> None:
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.costs, b.costs)
    np.testing.assert_array_equal(a.energy, b.energy)
    np.testing.assert_array_equal(a.lower_bound, b.lower_bound)


@pytest.mark.parametrize("per_item_weights", [False, True])
@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_a_batch_is_a_loop_over_items(solver: str, per_item_weights: bool) -> None:
    rng = np.random.default_rng(0)
    unary = rng.uniform(0, 6, (3, 7, 9, 6)).astype(np.float32)
    weights = rng.uniform(0, 2, (3, 4, 7, 9) if per_item_weights else (4, 7, 9)).astype(np.float32)
    pairwise = mrfcore.TruncatedLinear(2)
    options: dict[str, Any] = {"solver": solver, "connectivity": 8, "iterations": 3}
    options["lower_bound"] = True
    batch = mrfcore.minimize(unary, pairwise, weights, **options)
    assert batch.labels.shape == (3, 7, 9)
    assert batch.costs.shape == unary.shape
    assert batch.energy.shape == batch.lower_bound.shape == batch.gap.shape == (3,)
    for item in range(3):
        w = weights[item] if per_item_weights else weights
        single = mrfcore.minimize(unary[item], pairwise, w, **options)
        np.testing.assert_array_equal(batch.labels[item], single.labels)
        np.testing.assert_array_equal(batch.costs[item], single.costs)
        assert batch.energy[item] == single.energy
        assert batch.lower_bound[item] == single.lower_bound
        assert batch.gap[item] == single.gap


def test_a_batch_of_chains() -> None:
    unary = np.random.default_rng(0).uniform(0, 6, (3, 1, 9, 6))
    batch = mrfcore.minimize(unary, mrfcore.Potts(), solver="chain")
    for item in range(3):
        single = mrfcore.minimize(unary[item], mrfcore.Potts(), solver="chain")
        np.testing.assert_array_equal(batch.costs[item], single.costs)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("potential", ["linear", "quadratic", "huber", "table"])
@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_any_number_of_threads_gives_the_same_bits(
    solver: str, potential: str, connectivity: int
) -> None:
    case = random_case((33, 41, 12), potential, connectivity).astype(np.float32)
    one, *others = (
        case.minimize(solver, 2, lower_bound=True, threads=threads) for threads in (1, 2, 3, 8)
    )
    for other in others:
        _same(one, other)


@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_twice_the_same_is_the_same(solver: str) -> None:
    case = random_case((17, 15, 12), "linear", 8).astype(np.float32)
    _same(case.minimize(solver, 3, lower_bound=True), case.minimize(solver, 3, lower_bound=True))
