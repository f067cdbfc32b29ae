# SPDX-License-Identifier: Apache-2.0
"""Checks of tensors as arguments that all operators share."""

from __future__ import annotations

import torch

from mrfcore import _device

__all__ = ["FLOATS", "check_floats", "check_has_kernel", "check_same_device"]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_has_kernel(name: str, x: torch.Tensor) -> None:
    """Raise TypeError unless there are kernels where x is, and they can be used."""
    if x.device.type not in ("cpu", "cuda"):
        raise TypeError(
            f"{name}: expected a tensor on the CPU or a CUDA device, got one on {x.device}; there "
            f"is no kernel for {x.device.type}: pass {name}.cpu()"
        )
    if x.is_cuda and not torch.compiler.is_compiling():
        _device.require_back_end(name)


def check_floats(name: str, x: torch.Tensor) -> None:
    """Raise TypeError unless x has floating point numbers."""
    if x.dtype not in FLOATS:
        raise TypeError(
            f"{name}: expected float16, bfloat16, float32 or float64, got dtype {x.dtype}"
        )


def check_same_device(name: str, x: torch.Tensor, first: torch.Tensor, first_name: str) -> None:
    """Raise TypeError unless both tensors are on one device."""
    if x.device != first.device:
        raise TypeError(
            f"{name}: expected a tensor on {first.device} as {first_name}, got one on {x.device}; "
            f"pass {name}.to({first_name}.device)"
        )
