# SPDX-License-Identifier: Apache-2.0
"""The reference itself: against exhaustive search, and against the published Tsukuba energies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import instances
import reference as ref


def _random(shape: tuple[int, int, int], connectivity: int, seed: int) -> ref.Problem:
    rng = np.random.default_rng(seed)
    table = rng.uniform(0, 9, (shape[2], shape[2]))
    weights = rng.uniform(0, 2, (connectivity // 2, *shape[:2]))
    return ref.problem(rng.uniform(0, 10, shape), table, weights, connectivity)


@pytest.mark.parametrize("connectivity", [4, 8, 16])
@pytest.mark.parametrize("seed", range(4))
def test_bounds_bracket_the_optimum(connectivity: int, seed: int) -> None:
    pr = _random((3, 3, 3), connectivity, seed)
    optimum, labels = ref.brute_force(pr)
    assert ref.energy(pr, labels) == pytest.approx(optimum)
    for solve in (ref.isgmr, ref.trwp, ref.bp, ref.trws, ref.mean_field):
        found = solve(pr, 5)
        assert found.lower_bound <= optimum + 1e-9
        assert ref.energy(pr, found.labels) >= optimum - 1e-9


@pytest.mark.parametrize("shape", [(1, 7, 3), (7, 1, 3)])
def test_chains_are_solved_exactly(shape: tuple[int, int, int]) -> None:
    pr = _random(shape, 4, 1)
    optimum, labels = ref.brute_force(pr)
    marginals = ref.chain(pr)
    np.testing.assert_allclose(marginals.min(2), optimum)
    for found in (ref.isgmr(pr, 1), ref.bp(pr, 1), ref.trws(pr, 1), ref.trwp(pr, 40)):
        np.testing.assert_array_equal(found.labels, labels)
        np.testing.assert_array_equal(marginals.argmin(2), labels)
    assert ref.trws(pr, 1).lower_bound == pytest.approx(optimum)
    assert ref.trwp(pr, 40).lower_bound == pytest.approx(optimum)


def test_conditional_costs_are_energies_of_single_changes() -> None:
    pr = _random((3, 4, 3), 8, 2)
    labels = np.random.default_rng(0).integers(0, 3, (3, 4)).astype(np.int32)
    costs = ref.conditional_costs(pr, labels)
    for (y, x), before in np.ndenumerate(labels):
        for label in range(3):
            changed = labels.copy()
            changed[y, x] = label
            want = ref.energy(pr, changed) - ref.energy(pr, labels)
            assert costs[y, x, label] - costs[y, x, before] == pytest.approx(want)


def test_published_energies_after_one_iteration(data: Path) -> None:
    """Row "1 iter" of Table 3.1(a), Tsukuba: an outside word on signs, heads and orientation."""
    instance = instances.INSTANCES["tsukuba"]
    unary, weights = instances.build(instance, data)
    pr = ref.problem(unary, instance.table, weights)
    assert ref.energy(pr, ref.sgm(pr, 1, "zero").labels) == 873777
    assert ref.energy(pr, ref.isgmr(pr, 1).labels) == 824694
    assert ref.energy(pr, ref.trwp(pr, 1, 0.5).labels) == 869363
    mean_field = ref.energy(pr, ref.mean_field(pr, 1, "directions").labels)
    assert mean_field == pytest.approx(3121704, rel=2e-3)
