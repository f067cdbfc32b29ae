# SPDX-License-Identifier: Apache-2.0
"""What to say where torch is missing; imported before anything that imports torch."""

from __future__ import annotations

import importlib.util

__all__ = ["require_torch"]


def require_torch(module: str) -> None:
    """Raise ImportError with the remedy unless torch is installed; does not import torch."""
    if importlib.util.find_spec("torch") is None:
        raise ImportError(
            f"{module} needs PyTorch, which is not installed: pip install torch "
            "(everything outside mrfcore.ops, mrfcore.nn and mrfcore.models works without it)",
            name="torch",
        )
