# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C ends a layer's forward and backward pass long before they are done.

Within a second is what is promised, on a machine that is not busy; either pass would go on for more
than twenty here.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch", reason="torch is not installed")

_SCRIPT = """
import time
import torch
from mrfcore.ops import message_passing
torch.manual_seed(0)
small = torch.rand(1, 6, 8, 8, requires_grad=True)
large = torch.rand(1, 400, 180, 180).to(memory_format=torch.channels_last)
large.requires_grad_("backward" == "{phase}")
table = torch.rand(400, 400)
options = dict(temperature=0.5, iterations={iterations}, store_every=2)
costs = message_passing(large, table, **options) if {iterations} < 9 else None
print("ready", flush=True)
try:
    if costs is None:
        message_passing(large, table, **options)
    else:
        costs.sum().backward()
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
message_passing(small, table[:6, :6]).sum().backward()
print(bool(torch.isfinite(small.grad).all()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.parametrize(("phase", "iterations"), [("forward", 10**6), ("backward", 3)])
def test_ctrl_c(phase: str, iterations: int) -> None:
    script = _SCRIPT.format(phase=phase, iterations=iterations)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            ready = child.stdout.readline()
            time.sleep(0.3)
            sent = time.monotonic()  # one clock for all processes of the machine
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=60)
        finally:
            child.kill()
    assert ready == "ready\n", err
    assert child.returncode == 0, err
    stopped, sound = out.split()
    assert 0 < float(stopped) - sent < 5.0
    assert sound == "True"
