# SPDX-License-Identifier: Apache-2.0
"""Where tests of device tensors run: a GPU, or the emulator on the host's memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_BUILT = "tests/emulator/libmrfcore_cuda_emulated.so"
# The core's functions for dense operators on the CPU.
CPU_KERNELS = (
    "filter_flow_f32",
    "filter_flow_f64",
    "filter_flow_filter_gradient_f32",
    "filter_flow_filter_gradient_f64",
    "filter_flow_transpose_f32",
    "filter_flow_transpose_f64",
    "mean_shift_backward",
    "mean_shift_forward",
    "pairwise_margin_loss",
    "slic",
    "slic_features",
    "soft_superpixel_pool",
    "soft_superpixel_product",
    "soft_superpixel_unpool",
    "superpixel_consistency",
    "superpixel_pool",
    "superpixel_unpool",
    "warp",
    "warp_gradient",
)


def use_emulator_if_built() -> None:
    """Before anything asks for the library of kernels: point to the emulated one, if it is there.

    MRFCORE_TEST_DEVICE=cuda asks for a GPU instead.
    """
    if os.environ.get("MRFCORE_TEST_DEVICE") == "cuda" or "MRFCORE_CUDA_LIBRARY" in os.environ:
        return
    path = _ROOT / "build" / "release" / _BUILT
    if path.is_file():
        os.environ["MRFCORE_CUDA_LIBRARY"] = str(path)


class Device:
    """Puts tensors where the CUDA back-end finds them."""

    def __init__(self, kind: str, emulated: bool = False) -> None:
        self.type = kind
        self.emulated = emulated  # so slow that tests make do with less

    def put(self, x: Any) -> Any:
        """A copy on the device."""
        return x.detach().clone() if self.type == "cpu" else x.detach().to(self.type, copy=True)

    @contextmanager
    def active(self) -> Iterator[None]:
        """With the emulator, tensors on the CPU are the device's in here."""
        from mrfcore import _arrays, _device

        if self.type == "cuda":
            yield
            return
        _device.DEVICE_TYPES.add("cpu")
        _arrays._GPU_DEVICES.add(1)
        try:
            yield
        finally:
            _device.DEVICE_TYPES.discard("cpu")
            _arrays._GPU_DEVICES.discard(1)
