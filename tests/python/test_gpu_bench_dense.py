# SPDX-License-Identifier: Apache-2.0
"""bench/gpu.py's dense operators: what is counted, by hand, and that what is timed agrees."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import _gpu_dense as dense  # noqa: E402
import gpu  # noqa: E402

OPERATORS = {
    "filter_flow",
    "logit_consistency",
    "mean_shift",
    "mean_shift_filter",
    "pairwise_margin",
    "slic",
    "soft_superpixel",
    "superpixel_pool",
    "warp",
}


def test_every_operator_is_measured_and_rehearsed() -> None:
    for found in (dense.dense_cases(), dense.tiny_dense_cases()):
        assert {c["operator"] for c in found} == OPERATORS
        names = [dense.dense_name(c) for c in found]
        assert len(set(names)) == len(names)


def test_filter_flow_bytes_are_those_of_its_kernels() -> None:
    """cuda/filter_flow.cu and filter_flow_gradient.cu count them; 8 are a flow, 8 a softmax."""
    c = {"operator": "filter_flow", "batch": 1, "height": 10, "width": 20, "channels": 3}
    plain = dense.dense_counts({**c, "side": 11, "softmax": False})
    soft = dense.dense_counts({**c, "side": 11, "softmax": True})
    assert plain["forward"]["bytes"] == 200 * (524 - 16)
    assert soft["forward"]["bytes"] == 200 * (524 - 8)
    assert plain["backward"]["bytes"] == 200 * (508 + 508)
    assert soft["backward"]["bytes"] == 200 * (516 + 1012)


def test_fused_operations_of_points() -> None:
    """cuda/mean_shift.cu: 2.9e9 of a loop, 7.4e9 of its adjoint."""
    c = {"operator": "mean_shift", "batch": 1, "channels": 64, "points": 4800, "steps": 1}
    found = dense.dense_counts(c)
    exponentials = 25 * 4800**2
    assert found["forward"]["multiprocessor_clocks"] * 128 - exponentials == pytest.approx(
        2.9e9, rel=0.03
    )
    assert found["backward"]["multiprocessor_clocks"] * 128 - exponentials == pytest.approx(
        7.4e9, rel=0.03
    )


@pytest.mark.parametrize("case", dense.tiny_dense_cases(), ids=dense.dense_name)
def test_ours_and_plain_torch_agree(device: Any, case: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    if device.type == "cuda":
        pytest.skip("bench/gpu.py says so itself on a GPU")
    from _gpu_dense_measure import measure_dense
    from _gpu_device import Device

    threads = torch.get_num_threads()
    emulated = Device(emulated=True)
    torch.set_num_threads(threads)
    with device.active():
        found = measure_dense(case, emulated, 1.0, 2)
    assert found["launches_seen"] > 0  # on the device, that is
    assert found["ours"]["forward_samples"] == 2
    if case["operator"] in ("slic", "mean_shift_filter"):
        assert "skipped" in found["reference"]
    else:
        assert max(found["relative_difference"]) < 1e-5
    rows = gpu.dense_rows({**case, **found, "name": dense.dense_name(case)})
    assert len(rows) == len(dense.dense_counts(case))
