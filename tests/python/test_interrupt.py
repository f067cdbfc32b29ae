# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C ends a long solve within a second, in the middle of an iteration if need be."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

# One iteration takes seconds here: 1,000 labels, so a million pairs on each of 64,000 edges.
_SCRIPT = """
import sys, time
import numpy as np
import mrfcore
table = np.random.default_rng(0).uniform(0, 9, (1000, 1000))
unary = np.random.default_rng(1).uniform(0, 9, {shape}).astype(np.float32)
pairwise = {pairwise}
small = mrfcore.minimize(unary[:2, :2], pairwise, solver="{solver}", iterations=1)
print("ready", flush=True)
try:
    mrfcore.minimize(unary, pairwise, {weights}, solver="{solver}", iterations=10**6, {options})
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
again = mrfcore.minimize(unary[:2, :2], pairwise, solver="{solver}", iterations=1)
print((again.costs == small.costs).all())
"""

CASES = {
    "trwp": ("trwp", "mrfcore.Table(table)", ""),
    "trwp fast path": ("trwp", "mrfcore.TruncatedLinear(9)", ""),
    "trwp bound": ("trwp", "mrfcore.Table(table)", "lower_bound=True, trace=True"),
    "trws": ("trws", "mrfcore.Table(table)", ""),
    "isgmr": ("isgmr", "mrfcore.Table(table)", "threads=1"),
    "sgm": ("sgm", "mrfcore.Huber(3)", ""),
    "mean_field": ("mean_field", "mrfcore.Table(table)", ""),
    "one row trwp": ("trwp", "mrfcore.Table(table)", "lower_bound=True"),
    "one row chain": ("chain", "mrfcore.Table(table)", ""),
    "one row trws": ("trws", "mrfcore.Table(table)", ""),
    "callback": ("trwp", "mrfcore.TruncatedLinear(9)", "callback=lambda p: None"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.parametrize("name", CASES)
def test_ctrl_c(name: str) -> None:
    solver, pairwise, options = CASES[name]
    shape = (1, 180 * 180, 1000) if name.startswith("one row") else (180, 180, 1000)
    script = _SCRIPT.format(
        solver=solver, pairwise=pairwise, options=options, weights=1.0, shape=shape
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            ready = child.stdout.readline()
            time.sleep(0.6)
            sent = time.monotonic()  # one clock for all processes of the machine
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=20)
        finally:
            child.kill()
    assert ready == "ready\n", err
    assert child.returncode == 0, err
    stopped, sound = out.split()
    assert float(stopped) > sent
    assert float(stopped) - sent < 1.0
    assert sound == "True"
