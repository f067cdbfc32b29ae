# SPDX-License-Identifier: Apache-2.0
"""minimize() as it is called from Python: on a real pair, and what a call costs by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mrfcore
from mrfcore import stereo
from mrfcore.datasets import StereoPair

SOLVERS = ("sgm", "isgmr", "trwp", "bp", "trws", "mean_field", "icm")
ITERATIONS = 5


@pytest.fixture(scope="module")
def unary(tsukuba: StereoPair) -> Any:
    """[288, 384, 16], the data term of the published comparisons."""
    return stereo.cost_volume(tsukuba.left, tsukuba.right, 16, cost="birchfield_tomasi")


@pytest.mark.parametrize("solver", SOLVERS)
def test_bench_tsukuba(benchmark: Any, unary: Any, solver: str) -> None:
    iterations = 1 if solver == "sgm" else ITERATIONS
    result = benchmark(
        mrfcore.minimize,
        unary,
        mrfcore.TruncatedLinear(2),
        20.0,
        solver=solver,
        iterations=iterations,
    )
    benchmark.extra_info["iterations"] = iterations
    benchmark.extra_info["energy"] = result.energy
    argmin = mrfcore.energy(np.argmin(unary, axis=2), unary, mrfcore.TruncatedLinear(2), 20.0)
    assert result.energy < argmin


@pytest.mark.parametrize("connectivity", [4, 8, 16])
def test_bench_tsukuba_connectivity(benchmark: Any, unary: Any, connectivity: int) -> None:
    potential = mrfcore.TruncatedLinear(2)
    benchmark(
        mrfcore.minimize, unary, potential, 20.0, connectivity=connectivity, iterations=ITERATIONS
    )


def test_bench_tsukuba_trace(benchmark: Any, unary: Any) -> None:
    """What watching costs: energy and lower bound after each iteration."""
    potential = mrfcore.TruncatedLinear(2)
    result = benchmark(
        mrfcore.minimize,
        unary,
        potential,
        20.0,
        iterations=ITERATIONS,
        trace=True,
        lower_bound=True,
    )
    assert len(result.trace.energy) == ITERATIONS


@pytest.mark.parametrize("solver", SOLVERS)
def test_bench_call(benchmark: Any, solver: str) -> None:
    """Overhead: 8 x 8 pixels, 4 labels, one iteration."""
    costs = np.random.default_rng(0).random((8, 8, 4), dtype=np.float32)
    benchmark(mrfcore.minimize, costs, mrfcore.Potts(), 0.5, solver=solver, iterations=1)


def test_bench_call_energy(benchmark: Any) -> None:
    costs = np.random.default_rng(0).random((8, 8, 4), dtype=np.float32)
    labels = np.argmin(costs, axis=2)
    benchmark(mrfcore.energy, labels, costs, mrfcore.Potts(), 0.5)
