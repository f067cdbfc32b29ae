# SPDX-License-Identifier: Apache-2.0
"""What trwp does by default: messages from coarser grids, labels polished at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mrfcore
from instances import INSTANCES, build

# Seconds each; bench/time_to_energy.py has all twelve of Tables 3.1 to 3.3.
INSTANCES_HERE = ("tsukuba", "venus_TQ", "map", "teddy", "facade_1s", "penguin")
RAW = {"polish": 0, "coarse": 0}


def stripes(
    height: int = 40, width: int = 48, labels: int = 6, batch: int = 2, seed: int = 0
) -> Any:
    """Noisy unaries of vertical stripes, whole numbers so that energies compare exactly."""
    random = np.random.default_rng(seed)
    truth = np.arange(width) * labels // width
    distance = np.abs(truth[:, None] - np.arange(labels))
    noise = random.integers(0, 6, (batch, height, width, labels))
    return (distance + noise).astype(np.float32)


@pytest.mark.parametrize("name", INSTANCES_HERE)
def test_the_default_beats_fifty_iterations_of_trws(
    name: str, data: Path, reference_energies: Any
) -> None:
    instance = INSTANCES[name]
    unary, _ = build(instance, data)
    table = {"linear": mrfcore.TruncatedLinear, "quadratic": mrfcore.TruncatedQuadratic}
    result = mrfcore.minimize(
        unary.astype(np.float32),
        table[instance.potential](instance.truncation),
        instance.weight,
        lower_bound=True,
    )
    assert result.iterations == 10
    assert result.energy <= reference_energies[name]["energies"]["TRWS_iter50"]
    assert result.lower_bound <= result.energy


@pytest.mark.parametrize("solver", ["trwp", "bp", "isgmr"])
@pytest.mark.parametrize("connectivity", [4, 8, 16])
def test_polish_never_raises_the_energy(solver: str, connectivity: int) -> None:
    unary = stripes(17, 19)
    options = {"solver": solver, "connectivity": connectivity, "iterations": 2}
    raw = mrfcore.minimize(unary, mrfcore.TruncatedLinear(2), 2.0, polish=0, **options)
    for count in range(1, 5):
        found = mrfcore.minimize(unary, mrfcore.TruncatedLinear(2), 2.0, polish=count, **options)
        assert (found.energy <= raw.energy).all()
        assert (
            found.energy
            == mrfcore.energy(
                found.labels, unary, mrfcore.TruncatedLinear(2), 2.0, connectivity=connectivity
            )
        ).all()
        np.testing.assert_array_equal(found.costs, raw.costs)
    assert (found.energy < raw.energy).any()


def test_a_batch_is_its_items() -> None:
    unary = stripes(batch=3)
    together = mrfcore.minimize(unary, mrfcore.Potts(), 3.0)
    for i in range(3):
        alone = mrfcore.minimize(unary[i], mrfcore.Potts(), 3.0)
        np.testing.assert_array_equal(alone.labels, together.labels[i])
        np.testing.assert_array_equal(alone.costs, together.costs[i])


def test_defaults_go_by_the_images_size() -> None:
    """From 31 pixels either way on there is a coarser grid; below, nothing is different."""
    large, small = stripes(31, 31), stripes(30, 60)
    default = mrfcore.minimize(large, mrfcore.Potts(), 2.0)
    same = mrfcore.minimize(large, mrfcore.Potts(), 2.0, iterations=10, coarse=3, polish=4)
    assert (default.iterations == 10).all()
    np.testing.assert_array_equal(default.labels, same.labels)
    default = mrfcore.minimize(small, mrfcore.Potts(), 2.0)
    same = mrfcore.minimize(small, mrfcore.Potts(), 2.0, iterations=50, **RAW)
    assert (default.iterations == 50).all()
    np.testing.assert_array_equal(default.labels, same.labels)
    assert (mrfcore.minimize(large, mrfcore.Potts(), solver="trws").iterations == 50).all()
    assert (mrfcore.minimize(large, mrfcore.Potts(), 2.0, coarse=0).iterations == 50).all()


def test_coarser_grids_take_weights_and_forbidden_labels() -> None:
    unary = stripes(41, 35).astype(np.float64)
    unary[:, ::3, 1::4, :3] = np.inf
    random = np.random.default_rng(3)
    for connectivity in (4, 8, 16):
        weights = random.integers(0, 4, (2, connectivity // 2, 41, 35)).astype(np.float64)
        options = {"connectivity": connectivity, "lower_bound": True}
        ahead = mrfcore.minimize(unary, mrfcore.SGMPenalty(1, 3), weights, iterations=2, **options)
        zero = mrfcore.minimize(
            unary, mrfcore.SGMPenalty(1, 3), weights, iterations=2, **RAW, **options
        )
        assert (ahead.energy < zero.energy).all()
        assert np.isfinite(ahead.energy).all()
        assert (ahead.lower_bound <= ahead.energy).all()


def test_trace_is_of_the_argmin_and_comes_before_polish() -> None:
    result = mrfcore.minimize(stripes(batch=1), mrfcore.Potts(), 2.0, iterations=4, trace=True)
    assert result.trace is not None
    assert len(result.trace.energy) == 4
    assert (result.energy <= result.trace.energy[-1]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"polish": 5}, "polish: expected None or a number from 0 to 4, got 5"),
        ({"polish": -1}, "polish: expected None or a number from 0 to 4, got -1"),
        ({"coarse": 17}, "coarse: expected None or a number from 0 to 16, got 17"),
        ({"solver": "trws", "polish": 1}, "polish: not an option of minimize"),
        ({"solver": "isgmr", "coarse": 1}, "coarse: not an option of minimize"),
        ({"polish": 1.5}, "polish: expected an integer, got float"),
        ({"coarse": True}, "coarse: expected an integer, got bool"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        mrfcore.minimize(stripes(), mrfcore.Potts(), **options)
