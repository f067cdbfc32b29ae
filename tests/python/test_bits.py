# SPDX-License-Identifier: Apache-2.0
"""Same bits from every instruction set and from MRFCORE_NUM_THREADS, each in its own process."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent

# What each build needs, as /proc/cpuinfo calls it.
FLAGS = {
    "avx2": {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
    "avx512": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


def _run(**variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / "digest.py")],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


@pytest.fixture(scope="module")
def baseline() -> dict[str, Any]:
    found = _run(MRFCORE_CPU_ISA="baseline", MRFCORE_NUM_THREADS="1")
    assert found["isa"] == "baseline"
    return found


def _assert_same(a: dict[str, str], b: dict[str, str]) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if a[name] != b[name]]
    assert not different, f"{len(different)} of {len(a)} results differ: {different[:20]}"


@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_every_instruction_set_gives_the_same_bits(isa: str, baseline: dict[str, Any]) -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.exists():
        pytest.skip(f"{isa} is of x86-64 processors; looked up in /proc/cpuinfo")
    if not FLAGS[isa] <= set(cpuinfo.read_text().split()):
        pytest.skip(f"this processor has no {isa}")
    found = _run(MRFCORE_CPU_ISA=isa)
    assert found["isa"] == isa
    _assert_same(baseline["digests"], found["digests"])


def test_threads_from_the_environment_give_the_same_bits(baseline: dict[str, Any]) -> None:
    _assert_same(baseline["digests"], _run(MRFCORE_NUM_THREADS="5")["digests"])


def test_environment_sets_the_threads() -> None:
    code = "import mrfcore; print(mrfcore.info()['threads'])"
    env = os.environ | {"MRFCORE_NUM_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "3"


def test_unknown_instruction_set_is_refused_with_the_valid_ones() -> None:
    code = (
        "import mrfcore, numpy as np\n"
        "mrfcore.minimize(np.zeros((2, 2, 2)), mrfcore.Potts(), iterations=1)"
    )
    env = os.environ | {"MRFCORE_CPU_ISA": "mmx"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "MRFCORE_CPU_ISA" in done.stderr
    assert "mmx" in done.stderr
    assert "baseline" in done.stderr
