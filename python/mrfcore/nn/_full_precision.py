# SPDX-License-Identifier: Apache-2.0
"""Float32 that is float32: without autocast and without TensorFloat-32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch

__all__ = ["full_precision", "without_tf32"]


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """A block in which layers compute in the dtype of their weights.

    torch lets convolutions round to ten bits (TF32) on GPUs unless told otherwise. A compiled graph
    keeps the setting that it was compiled under: turn TF32 off before compiling, where it matters.
    """
    if device.type == "meta":
        return nullcontext()
    if device.type != "cuda" or torch.compiler.is_compiling():
        return torch.autocast(device.type, enabled=False)
    stack = ExitStack()
    stack.enter_context(torch.autocast(device.type, enabled=False))
    stack.enter_context(without_tf32())
    return stack


@contextmanager
def without_tf32() -> Iterator[None]:
    """Turn TF32 off for products and convolutions, and back to what it was."""
    kept = [(holder, name, getattr(holder, name), off) for holder, name, off in _settings()]
    try:
        for holder, name, _, off in kept:
            setattr(holder, name, off)
        yield
    finally:
        for holder, name, before, _ in kept:
            setattr(holder, name, before)


def _settings() -> list[tuple[Any, str, Any]]:
    """Where torch keeps it: in flags, or, once somebody has used them, in names of precisions."""
    cudnn: Any = torch.backends.cudnn
    holders: tuple[Any, Any] = (torch.backends.cuda.matmul, cudnn)
    try:
        for holder in holders:
            _ = holder.allow_tf32
    except RuntimeError:  # the two ways must not be mixed
        return [(h, "fp32_precision", "ieee") for h in (holders[0], cudnn.conv)]
    return [(holder, "allow_tf32", False) for holder in holders]
