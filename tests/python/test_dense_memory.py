# SPDX-License-Identifier: Apache-2.0
"""Peak memory of dense operators, each pass in a process of its own: results and little else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="reads the peak memory as Linux reports it"
)

# Growth of the peak, bytes, in a forward and in a backward pass; one small case before, for what
# torch imports and allocates once.
_MEASURE = """
import json, sys
from pathlib import Path
import torch
from mrfcore.nn import functional as F

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith(field + ":"))

def growth(run):
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    result = run()
    return resident("VmHWM") - before, result

for size in (16, {size}):
    {setup}
    forward, out = growth(lambda: {forward})
    grad = torch.ones_like(out)
    backward, _ = growth(lambda: torch.autograd.grad(out, inputs, grad))
print(json.dumps([forward, backward]))
"""

MIB = 1 << 20


def peaks(size: int, setup: str, forward: str) -> tuple[int, int]:
    """Forward and backward, bytes; malloc gives back at once what is freed."""
    script = _MEASURE.format(size=size, setup=setup, forward=forward)
    tight = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | tight | {"MRFCORE_NUM_THREADS": "2"},
    )
    if "clear_refs" in done.stderr:
        pytest.skip("this system does not let a process reset its peak")
    assert done.returncode == 0, done.stderr
    found: Any = json.loads(done.stdout)
    return found[0], found[1]


_SUPERPIXELS = """channels = 24
    x = torch.rand(1, channels, size, size).requires_grad_()
    inputs = (x,)
    row = torch.arange(size) * 8 // size
    ids = (row[:, None] * 8 + row)[None]"""


def test_superpixel_pool_takes_input_and_output() -> None:
    """Forward nothing of a plane's size, a matrix of ids would be 64; backward the gradient."""
    plane = 4 * 512 * 512
    forward, backward = peaks(512, _SUPERPIXELS, "F.superpixel_pool(x, ids, 64)")
    assert forward < 2 * plane
    assert backward < (24 + 2) * plane


def test_logit_consistency_takes_input_and_output() -> None:
    plane = 4 * 512 * 512
    forward, backward = peaks(512, _SUPERPIXELS, "F.logit_consistency(x, ids)")
    assert forward < (24 + 2) * plane
    assert backward < (24 + 2) * plane


@pytest.mark.parametrize("normalize", [None, "softmax"])
def test_filter_flow_makes_nothing_of_k_squared_images(normalize: str | None) -> None:
    """F.unfold takes channels * k^2 planes forward. Backward, k^2 are the filters' gradient."""
    channels, k, size = 4, 9, 256
    plane = 4 * size * size
    setup = f"""image = torch.rand(1, {channels}, size, size).requires_grad_()
    filters = torch.rand(1, {k * k}, size, size).requires_grad_()
    inputs = (image, filters)"""
    forward, backward = peaks(size, setup, f"F.filter_flow(image, filters, {normalize!r})")
    # Result, copy of the image with its margin, two numbers a pixel with the softmax.
    assert forward < (3 * channels + 2) * plane + MIB
    assert backward < (k * k + 4 * channels) * plane + MIB
