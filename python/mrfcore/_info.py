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
        (used when a call does not say), `cuda` (None: this build has no CUDA back-end yet), `torch`
        and `numpy` (versions, or None where not installed), `python`, `machine`.
    """
    return {
        "version": _core.version,
        "isa": _core.cpu_isa(),
        "threads": _core.default_threads(),
        "cuda": None,
        "torch": _installed("torch"),
        "numpy": _installed("numpy"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
