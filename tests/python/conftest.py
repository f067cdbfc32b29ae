# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures. Image data is looked up in $MRFCORE_DATA, else in ../shared/data."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:  # reference.py and its neighbours are imported by name
    sys.path.insert(0, str(HERE))

import devices  # noqa: E402

devices.use_emulator_if_built()

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # device tests run with less (tests/gpu_check.py)
    pass
else:
    # Deterministic, so that a red run is red again; deadlines mean nothing on shared machines.
    settings.register_profile(
        "mrfcore",
        deadline=None,
        derandomize=True,
        max_examples=30,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("mrfcore")


@pytest.fixture(scope="session")
def device() -> devices.Device:
    """A GPU if MRFCORE_TEST_DEVICE=cuda, else the emulator; skips where neither is there."""
    from mrfcore import _core

    status = _core.cuda_status()
    if os.environ.get("MRFCORE_TEST_DEVICE") == "cuda":
        assert status["available"], f"MRFCORE_TEST_DEVICE=cuda, but {status['reason']}"
        assert not status["emulated"]
        return devices.Device("cuda")
    if not status["emulated"]:
        pytest.skip("kernels are not emulated here: build the C++ tests first (make cpp-test)")
    return devices.Device("cpu", emulated=True)


@pytest.fixture(params=["cpu", "device"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Once the CPU, once `device`: there no dense operator may fall back to its kernel for CPUs."""
    if request.param == "cpu":
        yield devices.Device("cpu")
        return
    device = request.getfixturevalue("device")
    from mrfcore import _core

    def refuse(name: str) -> Any:
        def called(*_: Any) -> None:
            raise AssertionError(f"{name}, a kernel for CPUs, is called for a tensor on a device")

        return called

    for name in devices.CPU_KERNELS:
        monkeypatch.setattr(_core, name, refuse(name))
    with device.active():
        yield device


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder with the benchmark images; tests that need it are skipped without it."""
    default = HERE.parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("MRFCORE_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no benchmark images at {folder}; set MRFCORE_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def reference_energies(data: Path) -> dict[str, Any]:
    """Published TRW-S energies, bounds and checksums by instance."""
    path = data / "reference_energies.json"
    if not path.is_file():
        pytest.skip(f"no {path}; set MRFCORE_DATA to the folder that has it")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded
