# SPDX-License-Identifier: Apache-2.0
"""One OpenMP runtime per process, and the right one, also where torch brings its own.

Two copies of libgomp keep two pools of threads that know nothing of each other and together
oversubscribe the machine. torch's wheels carry a libgomp whose SONAME is the system's, and the
loader satisfies a dependency by any library of that SONAME that is loaded already: whoever comes
first decides for both. If that were the system's copy, an older one, torch might miss symbols that
it was built for; so torch's is loaded first.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

__all__ = ["preload"]

_SONAME = "libgomp.so.1"


def preload() -> str | None:
    """Load torch's libgomp, without importing torch; call before `mrfcore._core` is imported.

    Does nothing where torch is absent, carries no libgomp of that name, or some libgomp is loaded
    already. Never raises: the system's libgomp serves as well, only not as one with torch's.

    Returns:
        The path of the library that was loaded, else None.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        if _is_loaded(_SONAME):
            return None
        library = _torch_library(_SONAME)
        if library is None:
            return None
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except (OSError, ImportError, ValueError):
        return None
    return str(library)


def _is_loaded(soname: str) -> bool:
    try:
        ctypes.CDLL(soname, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return False
    return True


def _torch_library(name: str) -> Path | None:
    """Path of torch/lib/<name> if torch is installed and has one; torch is not imported."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    library = Path(spec.origin).parent / "lib" / name
    return library if library.is_file() else None
