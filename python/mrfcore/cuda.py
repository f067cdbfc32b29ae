# SPDX-License-Identifier: Apache-2.0
"""The CUDA back-end: is it there, and if not, why.

Tensors decide where work is done: `mrfcore.minimize`, `mrfcore.stereo.cost_volume`,
`mrfcore.stereo.sgm`, `mrfcore.ops` and `mrfcore.nn` run on the GPU that their tensors are on, in
torch's current stream.
"""

from __future__ import annotations

from typing import Any

from mrfcore import _core

__all__ = ["is_available", "status"]


def is_available() -> bool:
    """Whether tensors on a GPU can be used."""
    return bool(_core.cuda_status()["available"])


def status() -> dict[str, Any]:
    """What there is.

    Returns:
        Dictionary with `available`; `built` (the library of kernels was built and fits);
        `reason` (why it is not available, else empty); `driver` and `runtime` (CUDA versions as
        1000 major + 10 minor); `devices` (a list of dictionaries with `name`, `capability`,
        `multiprocessors`, `memory` in bytes); `emulated` (kernels run on the CPU, for tests).
    """
    return dict(_core.cuda_status())
