# SPDX-License-Identifier: Apache-2.0
"""Models in eval mode for a while; needs torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["evaluating"]


@contextlib.contextmanager
def evaluating(model: torch.nn.Module, training: bool = False) -> Iterator[None]:
    """In eval (or training) mode, and back: each part as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
