# SPDX-License-Identifier: Apache-2.0
"""Messages kept in 16 bits: the option, and what it costs on published instances."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mrfcore
from instances import INSTANCES, build

LINEAR = mrfcore.TruncatedLinear(2)


def unary(seed: int = 0) -> Any:
    return np.random.default_rng(seed).random((20, 24, 8), np.float32)


@pytest.mark.parametrize(
    ("name", "loss"), [("float16", 2e-4), ("bfloat16", 3e-3)], ids=["float16", "bfloat16"]
)
@pytest.mark.parametrize("instance", ["tsukuba", "venus_TQ", "map"])
def test_costs_next_to_nothing(instance: str, name: str, loss: float, data: Path) -> None:
    setup = INSTANCES[instance]
    costs, _ = build(setup, data)
    table = {"linear": mrfcore.TruncatedLinear, "quadratic": mrfcore.TruncatedQuadratic}
    problem = (
        costs.astype(np.float32),
        table[setup.potential](setup.truncation),
        setup.weight,
    )
    full = mrfcore.minimize(*problem)
    kept = mrfcore.minimize(*problem, message_dtype=name, lower_bound=True)
    assert abs(kept.energy / full.energy - 1) < loss
    assert kept.lower_bound <= full.energy
    assert kept.energy == mrfcore.energy(kept.labels, *problem)


@pytest.mark.parametrize("solver", ["trwp", "bp", "isgmr", "trws"])
def test_accepts_dtypes_of_numpy_and_torch(solver: str) -> None:
    torch = pytest.importorskip("torch")
    expected = mrfcore.minimize(unary(), LINEAR, solver=solver, message_dtype="float16")
    for dtype in (np.float16, np.dtype("float16"), torch.float16):
        found = mrfcore.minimize(unary(), LINEAR, solver=solver, message_dtype=dtype)
        np.testing.assert_array_equal(found.costs, expected.costs)
    full = mrfcore.minimize(unary(), LINEAR, solver=solver)
    assert (full.costs != expected.costs).any()
    coarser = mrfcore.minimize(unary(), LINEAR, solver=solver, message_dtype=torch.bfloat16)
    distance = [float(np.abs(r.costs - full.costs).max()) for r in (expected, coarser)]
    assert 0 < distance[0] < distance[1] < 0.3


@pytest.mark.parametrize("dtype", ["half", np.float64, "float32", 16])
def test_refuses_other_names(dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"message_dtype: expected one of None, 'float16'"):
        mrfcore.minimize(unary(), LINEAR, message_dtype=dtype)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("dtype", [None, "float16"])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_a_solve_takes_the_memory_it_says(dtype: str | None, connectivity: int) -> None:
    """Coarser grids, sum, messages, polish: the peak against what is refused beforehand."""
    script = f"""
import numpy as np, sys
sys.path.insert(0, {str(Path(__file__).parents[2] / "bench")!r})
import mrfcore
from _measure import growth
from mrfcore._minimize import solve_bytes
from mrfcore._options import core_options
options = {{"message_dtype": {dtype!r}}}
unary = np.random.default_rng(0).random((256, 320, 32), np.float32)
solve = lambda u: mrfcore.minimize(u, mrfcore.TruncatedLinear(2), connectivity={connectivity},
                                   threads=1, iterations=2, **options)
solve(unary[:32, :32])
said = solve_bytes((1, *unary.shape), unary.dtype, mrfcore.TruncatedLinear(2)._to_core(), False,
                   {connectivity}, core_options("trwp", options))
print(growth(lambda: solve(unary)) / said)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0.75 < float(done.stdout) < 1.02


def test_says_what_it_cannot_keep() -> None:
    with pytest.raises(ValueError, match=r"message_dtype: .*65504.*reach 100000.*bfloat16"):
        mrfcore.minimize(unary(), LINEAR, 5e4, message_dtype="float16")
    mrfcore.minimize(unary(), LINEAR, 5e4, message_dtype="bfloat16")
    with pytest.raises(ValueError, match=r"message_dtype: .*too coarse.*2e-08 at most.*bfloat16"):
        mrfcore.minimize(1e-8 * unary(), LINEAR, 1e-8, message_dtype="float16")
    mrfcore.minimize(1e-8 * unary(), LINEAR, 1e-8, message_dtype="bfloat16")
    with pytest.raises(ValueError, match=r"message_dtype: .*float32, got float64"):
        mrfcore.minimize(unary().astype(np.float64), LINEAR, message_dtype="float16")
    with pytest.raises(TypeError, match=r"message_dtype: not an option of .*'sgm'"):
        mrfcore.minimize(unary(), LINEAR, solver="sgm", message_dtype="float16")
