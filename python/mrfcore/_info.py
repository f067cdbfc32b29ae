# SPDX-License-Identifier: Apache-2.0
"""What this installation can do."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from mrfcore import _core

__all__ = ["info"]


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def info() -> dict[str, Any]:
    """Version, instruction set, threads, and which optional parts are there.

    Returns:
        Dictionary with `version`, `isa` (instruction set of the CPU kernels in use), `threads`
        (used when a call does not say), `cuda` (names of the GPUs that can be used, or None) and
        `cuda_missing` (why there are none, else None), `torch` and `numpy` (versions, or None where
        not installed), `python`, `machine`.
    """
    cuda = _core.cuda_status()
    return {
        "version": _core.version,
        "isa": _core.cpu_isa(),
        "threads": _core.default_threads(),
        "cuda": [d["name"] for d in cuda["devices"]] if cuda["available"] else None,
        "cuda_missing": None if cuda["available"] else cuda["reason"],
        "torch": _installed("torch"),
        "numpy": _installed("numpy"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
