# SPDX-License-Identifier: Apache-2.0
"""The Python face: trace, stopping rules, callbacks, threads, info. Arrays: test_arrays.py."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import mrfcore
from cases import GRID_SOLVERS, random_case

LINEAR = mrfcore.TruncatedLinear(2)
UNARY = random_case((6, 7, 5)).unary


def solve(unary: Any, weights: Any = 1.0, **options: Any) -> mrfcore.Result:
    options.setdefault("iterations", 3)
    return mrfcore.minimize(unary, LINEAR, weights, **options)


# ---------------------------------------------------------------- trace


@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_trace_is_what_shorter_runs_end_with(solver: str) -> None:
    trace = solve(UNARY, solver=solver, iterations=5, trace=True, lower_bound=True).trace
    assert len(trace.energy) == len(trace.lower_bound) == len(trace.seconds)
    assert (np.diff(trace.seconds) >= 0).all()
    assert trace.seconds[0] >= 0
    pairs = zip(trace.energy, trace.lower_bound, strict=True)
    for iteration, (energy, bound) in enumerate(pairs, 1):
        short = solve(UNARY, solver=solver, iterations=iteration, lower_bound=True)
        assert energy == short.energy
        assert bound == short.lower_bound


def test_trace_without_bound() -> None:
    got = solve(UNARY, trace=True)
    assert got.trace.lower_bound is None
    assert got.trace.energy.shape == (3,)
    assert got.trace.energy.dtype == np.float64


def test_trace_of_a_batch() -> None:
    batch = np.stack([UNARY, UNARY[::-1], 2 * UNARY])
    got = solve(batch, trace=True, lower_bound=True)
    assert got.trace.energy.shape == got.trace.lower_bound.shape == (3, 3)
    np.testing.assert_array_equal(got.trace.energy[-1], got.energy)
    np.testing.assert_array_equal(got.iterations, [3, 3, 3])
    single = solve(UNARY[::-1], trace=True)
    np.testing.assert_array_equal(got.trace.energy[:, 1], single.trace.energy)


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize("tolerance", [0.0, 1e-3, 0.05])
@pytest.mark.parametrize("solver", ["isgmr", "trwp", "trws", "icm"])
def test_tolerance_stops_at_the_first_small_change(solver: str, tolerance: float) -> None:
    unary = random_case((15, 14, 6), seed=2).unary
    energies = solve(unary, solver=solver, iterations=60, trace=True).trace.energy
    got = solve(unary, solver=solver, iterations=60, tolerance=tolerance, trace=True)
    stop = got.iterations
    np.testing.assert_array_equal(got.trace.energy, energies[:stop])
    changes = np.abs(np.diff(energies)) / np.abs(energies[1:])  # from iteration k+1 to k+2
    assert (changes[1 : stop - 2] > 0.9 * tolerance).all()
    if stop < 60 and stop >= 2:
        assert changes[stop - 2] <= 1.1 * tolerance
    if tolerance == 0.05:
        assert stop < 20


def test_gap_tolerance_stops_and_brings_the_bound() -> None:
    unary = random_case((15, 14, 6), seed=2).unary
    trace = solve(unary, solver="trws", iterations=50, trace=True, lower_bound=True).trace
    gaps = (trace.energy - trace.lower_bound) / np.abs(trace.energy)
    goal = float(gaps[[4, -1]].mean())
    got = solve(unary, solver="trws", iterations=50, gap_tolerance=goal)
    assert got.iterations == int(np.argmax(gaps <= goal)) + 1 < 50
    assert got.gap <= goal
    assert got.lower_bound is not None


def test_items_of_a_batch_stop_on_their_own() -> None:
    rng = np.random.default_rng(0)
    batch = np.stack([np.zeros((9, 9, 4)), rng.uniform(0, 3, (9, 9, 4))])
    got = solve(batch, solver="trwp", iterations=50, tolerance=0.0)
    for item in range(2):
        single = solve(batch[item], solver="trwp", iterations=50, tolerance=0.0)
        assert got.iterations[item] == single.iterations
        np.testing.assert_array_equal(got.labels[item], single.labels)
    assert got.iterations[0] < got.iterations[1]


# ---------------------------------------------------------------- callback


def test_callback_sees_every_iteration() -> None:
    seen: list[Any] = []
    trace = solve(UNARY, iterations=4, trace=True).trace
    solve(UNARY, iterations=4, callback=seen.append)
    assert [p.iteration for p in seen] == [1, 2, 3, 4]
    assert {p.iterations for p in seen} == {4}
    assert {p.item for p in seen} == {0}
    assert [p.energy for p in seen] == list(trace.energy)
    assert {p.lower_bound for p in seen} == {None}
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(seen))


def test_callback_gets_the_bound_on_request() -> None:
    seen: list[Any] = []
    got = solve(UNARY, iterations=4, lower_bound=True, callback=seen.append)
    assert seen[-1].lower_bound == got.lower_bound
    assert seen[-1].energy == got.energy


def test_callback_of_a_batch_names_the_item() -> None:
    seen: list[Any] = []
    solve(np.stack([UNARY, UNARY]), iterations=3, callback=seen.append)
    assert sorted((p.item, p.iteration) for p in seen) == [
        (item, k) for item in range(2) for k in (1, 2, 3)
    ]


def test_callback_returning_true_stops() -> None:
    got = solve(UNARY, iterations=50, callback=lambda p: p.iteration == 7)
    assert got.iterations == 7
    np.testing.assert_array_equal(got.costs, solve(UNARY, iterations=7).costs)


def test_callback_errors_come_through() -> None:
    class OurError(Exception):
        pass

    def fail(progress: Any) -> None:
        if progress.iteration == 2:
            raise OurError("from the callback")

    with pytest.raises(OurError, match="from the callback"):
        solve(UNARY, iterations=5, callback=fail)
    assert solve(UNARY).iterations == 3  # and the library still works


def test_callback_may_minimise() -> None:
    inner: list[float] = []
    solve(UNARY, iterations=2, callback=lambda _: inner.append(solve(UNARY).energy))
    assert inner == [solve(UNARY).energy] * 2


# ---------------------------------------------------------------- threads


def test_solving_lets_other_python_threads_run() -> None:
    unary = np.random.default_rng(0).uniform(0, 6, (96, 96, 64)).astype(np.float32)
    done = threading.Event()

    def work() -> None:
        stop_at = time.monotonic() + 1.0
        while time.monotonic() < stop_at:
            mrfcore.minimize(unary, mrfcore.Huber(1), iterations=20, threads=1, solver="trws")
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    longest = 0.0
    while not done.is_set():
        before = time.monotonic()
        time.sleep(0.001)
        longest = max(longest, time.monotonic() - before)
    worker.join()
    one_call = time.monotonic()
    mrfcore.minimize(unary, mrfcore.Huber(1), iterations=20, threads=1, solver="trws")
    one_call = time.monotonic() - one_call
    assert longest < max(0.5 * one_call, 0.1), (
        f"held the lock for {longest:.2f} s of {one_call:.2f}"
    )


def test_concurrent_calls_do_not_disturb_each_other() -> None:
    cases = [random_case((25, 26, 9), "linear", 8, seed=s) for s in range(6)]
    want = [case.minimize("trwp", 10).costs for case in cases]
    got: dict[int, Any] = {}
    workers = [
        threading.Thread(target=lambda i=i: got.update({i: cases[i].minimize("trwp", 10).costs}))
        for i in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(6):
        np.testing.assert_array_equal(got[i], want[i])


def test_info() -> None:
    found = mrfcore.info()
    assert found["isa"] in ("baseline", "avx2", "avx512")
    assert found["threads"] >= 1
    assert found["version"] == mrfcore.__version__
    assert {"cuda", "torch"} <= found.keys()
    assert (found["cuda"] is None) == bool(found["cuda_missing"])


@pytest.mark.parametrize(
    ("library", "reason"), [("/nowhere/lib.so", "cannot open /nowhere/lib.so"), (None, "GPU|CUDA")]
)
def test_info_says_why_there_is_no_cuda(library: str | None, reason: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MRFCORE_CUDA_LIBRARY"}
    environment |= {"CUDA_VISIBLE_DEVICES": ""} | (
        {"MRFCORE_CUDA_LIBRARY": library} if library else {}
    )
    code = "import json, mrfcore; print(json.dumps(mrfcore.info()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["cuda"] is None
    assert re.search(reason, found["cuda_missing"])
