# SPDX-License-Identifier: Apache-2.0
"""Device tensors as the core wants them: addresses, streams, memory. Needs torch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils.dlpack import from_dlpack

from mrfcore import _arrays, _core

__all__ = [
    "FEWER_LABELS",
    "STORE_LESS",
    "as_tensor",
    "current",
    "empty",
    "function",
    "gradients",
    "like",
    "on_device",
    "problem",
    "queue",
    "require_back_end",
    "workspace",
]

# Of arrays with a number for every label, and of what layers keep.
FEWER_LABELS = "fewer labels, or a smaller image or batch, need less"
STORE_LESS = "store_every=n, fewer labels, or a smaller image or batch, need less"

_MOST_ITEMS = 65535  # side by side
_CHUNK_BYTES = 4 << 30  # of working memory for several items; one may need more

# Tests that run the kernels in an emulator, on the host's memory, add "cpu".
DEVICE_TYPES = {"cuda"}


def on_device(x: object) -> bool:
    """Whether x is a tensor that the CUDA back-end works on."""
    return isinstance(x, torch.Tensor) and x.device.type in DEVICE_TYPES


def as_tensor(name: str, x: Any) -> torch.Tensor:
    """An array on a GPU, of any library, as a tensor on its memory.

    Raises:
        TypeError: torch cannot see it.
    """
    if isinstance(x, torch.Tensor):
        return x
    try:
        return from_dlpack(x)
    except (AssertionError, BufferError, RuntimeError, TypeError) as error:
        raise TypeError(f"{name}: torch cannot see it as a tensor on a GPU: {error}") from error


def require_back_end(name: str) -> None:
    """Raise TypeError with the remedy unless tensors on a GPU can be used."""
    reason = _why_unavailable()
    if reason is not None:
        raise TypeError(
            f"{name}: is on a GPU, but the CUDA back-end cannot be used: {reason}; "
            f"{name}.cpu() works"
        )


@functools.cache  # asking the driver about every GPU takes longer than a small layer
def _why_unavailable() -> str | None:
    status = _core.cuda_status()
    return None if status["available"] else str(status["reason"])


def current(like: torch.Tensor) -> AbstractContextManager[object]:
    """Context in which the device of `like` is current.

    The core could do this, too, but would touch the device that was current before, where torch
    takes care not to: a process that works on one GPU should take no memory of another.
    """
    return torch.cuda.device(like.device) if like.is_cuda else nullcontext()


def function(stem: str, dtype: torch.dtype) -> Any:
    """The core's function for a dtype."""
    return getattr(_core, f"{stem}_{'f64' if dtype == torch.float64 else 'f32'}")


def address(x: torch.Tensor | None) -> int:
    """Of the first element; 0 for none."""
    return 0 if x is None else x.data_ptr()


def problem(
    unary: torch.Tensor,
    potential: Any,
    table: torch.Tensor | None,
    weight: float | torch.Tensor,
    edges: torch.Tensor | None,
    connectivity: int,
) -> Any:
    """The core's problem.

    Args:
        unary: [B, H, W, L], contiguous.
        potential: the core's, or None where `table` [L, L] is given.
        table: on the device, dtype of unary.
        weight: a number, or a tensor without dimensions on the device.
        edges: [1 or B, P, H, W], contiguous, or None.
        connectivity: 4, 8 or 16.
    """
    p = _core.CudaProblem()
    p.batch, p.height, p.width, p.labels = unary.shape
    p.connectivity = connectivity
    p.unary = unary.data_ptr()
    if table is not None:
        p.table = table.data_ptr()
    else:
        p.pairwise = potential
    if isinstance(weight, torch.Tensor):
        p.device_weight = weight.data_ptr()
    else:
        p.weight = weight
    if edges is not None:
        p.edge_weights = edges.data_ptr()
        p.shared_edge_weights = edges.shape[0] == 1
    return p


def empty(
    like: torch.Tensor,
    shape: Any,
    dtype: torch.dtype,
    what: str,
    remedy: str = "a smaller image or batch needs less",
) -> torch.Tensor:
    """Memory on the device of `like`.

    Raises:
        MemoryError: says how many bytes were wanted for `what`, and what would help.
    """
    try:
        return torch.empty(shape, dtype=dtype, device=like.device)
    except torch.OutOfMemoryError as error:
        count = shape if isinstance(shape, int) else int(torch.Size(shape).numel())
        size = count * dtype.itemsize
        raise MemoryError(
            f"{what} of {size:,} bytes ({size / 2**30:.1f} GiB) do not fit on {like.device}: "
            f"{remedy}"
        ) from error


def workspace(like: torch.Tensor, needed: Callable[[int], int], items: int) -> torch.Tensor:
    """Working memory for all items at once, or for fewer where that is much or does not fit.

    Args:
        like: on the device.
        needed: bytes for a number of items.
        items: of the batch.

    Raises:
        MemoryError: not even one item fits.
    """
    items = min(items, _MOST_ITEMS)
    while items > 1:
        size = needed(items)
        if size <= _CHUNK_BYTES:
            try:
                return empty(like, size, torch.uint8, "messages", FEWER_LABELS)
            except MemoryError:
                pass
        items = (items + 1) // 2
    return empty(like, needed(1), torch.uint8, "messages", FEWER_LABELS)


def like(x: Any) -> Callable[[torch.Tensor], Any]:
    """Function that turns a tensor into the kind of array x is, without a copy."""
    return (lambda tensor: tensor) if isinstance(x, torch.Tensor) else _arrays.like(x)


def queue(like: torch.Tensor, workspace: torch.Tensor) -> Any:
    """Torch's current stream on the device of `like`; `workspace` must outlive the call."""
    q = _core.CudaQueue()
    q.workspace = workspace.data_ptr()
    q.workspace_bytes = workspace.numel()
    if like.is_cuda:
        q.device = like.device.index
        q.stream = torch.cuda.current_stream(like.device).cuda_stream
    return q


def gradients(
    unary: torch.Tensor | None,
    edges: torch.Tensor | None,
    weight: torch.Tensor | None,
    table: torch.Tensor | None,
) -> Any:
    """The core's gradients; None for those that nobody wants."""
    g = _core.CudaGradients()
    g.unary, g.edge_weights = address(unary), address(edges)
    g.weight, g.table = address(weight), address(table)
    return g
