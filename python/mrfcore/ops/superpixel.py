# SPDX-License-Identifier: Apache-2.0
"""Pooling over superpixels, unpooling, and both at once (Eq 4.13-4.14)."""

from __future__ import annotations

import numpy as np
import torch

from mrfcore._scalars import _choice, _integer, _threads
from mrfcore.ops._superpixel_autograd import Consistency, Maximum, Pool, Unpool
from mrfcore.ops._tensors import check_floats, check_has_kernel

__all__ = ["logit_consistency", "superpixel_pool", "superpixel_unpool"]

_MOST_IDS = 1 << 20  # in small images, where nobody says how many; the core has the same rule
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def superpixel_pool(
    x: torch.Tensor,
    ids: torch.Tensor,
    num: int | None = None,
    reduce: str = "mean",
    *,
    threads: int | None = None,
) -> torch.Tensor:
    """Mean, sum or maximum of `x` over every superpixel (Eq 4.13, the sparse encoder).

    O(C H W) time; beside the result, 12 bytes for each run of equal ids in a row, 4 for each
    superpixel, and for each thread one plane of x or 4 S values at most. Sums have one order: the
    same bits for any number of threads. On a GPU the order is another, the same every time; memory
    is 8 bytes a pixel and 20 a superpixel.

    Args:
        x: [B, C, H, W] on the CPU or a GPU. float16 and bfloat16 are computed in float32.
        ids: [B, H, W] integers (narrower ones are copied to int32), the superpixel 0..num-1 of
            every pixel, each image of its own; `superpixel_relabel` makes such ids of any others.
            Pixels of other ids are an error on the CPU; on a GPU, which nobody waits for, they
            count for nothing.
        num: how many superpixels, S: above the largest id, which may exceed the `num` that `slic`
            was asked for. None: the largest id + 1, at most H W or 2^20, whichever is more; that
            looks at the ids (waits for a GPU) and gives torch.compile no size to go by: it breaks
            the graph there, and with fullgraph=True fails.
        reduce: "mean", "sum" or "max". A maximum's gradient goes to its first pixel; NaN spreads.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Returns:
        [B, C, S], dtype of `x`. Empty superpixels are 0 and pass no gradient. Differentiable any
        number of times.

    Raises:
        ValueError: wrong shapes, ids out of range; the message names the argument.
        TypeError: wrong types, dtypes or devices.
    """
    _check_values("x", x, 4, "[B, C, H, W]")
    ids = _check_ids(ids, x.shape[0], x.shape[2:], "x", x)
    kind = _choice("reduce", reduce, ("mean", "sum", "max"))
    if num is None:
        num = _number_of(ids)
    elif not isinstance(num, torch.SymInt) and _integer("num", num) < 1:
        raise ValueError(f"num: expected a number >= 1, got {num}")
    count = _threads(threads)
    values = _computed(x)
    if kind == "max":
        z = Maximum.apply(values, ids, num, count)[0]
    else:
        z = Pool.apply(values, ids, num, kind == "mean", count)
    return z.to(x.dtype)


def superpixel_unpool(
    z: torch.Tensor, ids: torch.Tensor, *, threads: int | None = None
) -> torch.Tensor:
    """Every pixel gets the value of its superpixel (Eq 4.14, the decoder).

    The adjoint of `superpixel_pool(..., reduce="sum")`. O(C H W) time, no memory beside the result
    but the runs of equal ids.

    Args:
        z: [B, C, S] on the CPU or a GPU. float16 and bfloat16 go through float32, without loss.
        ids: [B, H, W] integers in 0..S-1. Pixels of other ids are an error on the CPU, and
            become 0 on a GPU.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Returns:
        [B, C, H, W], dtype of `z`. Differentiable any number of times.

    Raises:
        ValueError: wrong shapes, ids out of range; the message names the argument.
        TypeError: wrong types, dtypes or devices.
    """
    _check_values("z", z, 3, "[B, C, S]")
    ids = _check_ids(ids, z.shape[0], None, "z", z)
    return Unpool.apply(_computed(z), ids, False, _threads(threads)).to(z.dtype)


def logit_consistency(
    x: torch.Tensor,
    ids: torch.Tensor,
    valid: torch.Tensor | None = None,
    *,
    empty: str = "keep",
    threads: int | None = None,
) -> torch.Tensor:
    """Replace every pixel by the mean of its superpixel: Eq 4.13-4.14 in one pass.

    Without `valid` an orthogonal projection: applying it twice changes nothing more (but rounding),
    it keeps the sum over each superpixel, and its gradient is the same operation.

    Args:
        x: logits [B, C, H, W] on the CPU or a GPU. float16 and bfloat16 are computed in float32.
        ids: [B, H, W] integers, 0 and above, each image of its own. Fastest where they count
            from 0: memory grows with the largest. Below H W or 2^20, whichever is more; on a GPU,
            H W or 65536, with 28 bytes of memory for each; pixels of other ids become 0 there, for
            nobody waits to look.
        valid: [B, H, W] bool: only these pixels count in the means, all pixels get them. None: all
            count. A mask made from true labels tells the network where they are: leave it out when
            testing.
        empty: what a superpixel without a valid pixel gets: "keep" its own logits, or "zero".
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Returns:
        [B, C, H, W], dtype of `x`; all pixels of a superpixel have the same bits, hence the same
        label. Differentiable any number of times.

    Raises:
        ValueError: wrong shapes, negative ids; the message names the argument.
        TypeError: wrong types, dtypes or devices.
    """
    _check_values("x", x, 4, "[B, C, H, W]")
    ids = _check_ids(ids, x.shape[0], x.shape[2:], "x", x)
    if valid is not None:
        check_mask(valid, x)
    keep = _choice("empty", empty, ("keep", "zero")) == "keep"
    return Consistency.apply(_computed(x), ids, valid, keep, False, _threads(threads)).to(x.dtype)


# ---------------------------------------------------------------- checks


def _computed(x: torch.Tensor) -> torch.Tensor:
    """In a type that the kernels have."""
    return x if x.dtype == torch.float64 else x.float()


def _check_values(name: str, x: object, dims: int, shape: str) -> None:
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name}: expected a tensor {shape}, got {type(x).__name__}")
    check_floats(name, x)
    if x.dim() != dims or 0 in x.shape:
        raise ValueError(
            f"{name}: expected {shape}, all sizes at least 1, got shape {list(x.shape)}"
        )
    check_has_kernel(name, x)


def _number_of(ids: torch.Tensor) -> int:
    """The largest id + 1; waits for a GPU."""
    lowest, highest = torch.stack(ids.aminmax()).tolist()
    most = max(_MOST_IDS, ids.shape[1] * ids.shape[2])
    if lowest < 0 or highest >= most:
        found, kind = (lowest, "negative ids") if lowest < 0 else (highest, "ids that are sparse")
        raise ValueError(
            f"ids: {found} is there, expected 0..{most - 1} ({kind}: relabel them first)"
        )
    return int(highest) + 1


def _check_ids(
    ids: object, batch: int, size: torch.Size | None, name: str, of: torch.Tensor
) -> torch.Tensor:
    """Ids as the kernels take them: of 32 or 64 bits."""
    if not isinstance(ids, torch.Tensor):
        raise TypeError(
            f"ids: expected a tensor [B, H, W], got {type(ids).__name__}{_from_numpy(ids)}"
        )
    if ids.dtype not in _INTEGERS:
        raise TypeError(f"ids: expected int32 or int64, got dtype {ids.dtype}")
    if ids.device != of.device:
        raise TypeError(f"ids: expected a tensor on {of.device} as {name}, got one on {ids.device}")
    fits = ids.dim() == 3 and ids.shape[0] == batch and 0 not in ids.shape
    if not fits or (size is not None and ids.shape[1:] != size):
        wanted = [batch, *size] if size is not None else [batch, "H", "W"]
        raise ValueError(
            f"ids: expected shape {wanted} with {name} of shape {list(of.shape)}, got "
            f"{list(ids.shape)}"
        )
    return ids if ids.dtype in (torch.int32, torch.int64) else ids.int()


def _from_numpy(ids: object) -> str:
    """What to write instead of an array [H, W] or [B, H, W], as `mrfcore.superpixels` gives."""
    if not isinstance(ids, np.ndarray):
        return ""
    return f"; pass torch.from_numpy(ids){'[None]' if ids.ndim == 2 else ''}"


def check_mask(valid: object, x: torch.Tensor) -> None:
    """Of x [B, C, H, W]."""
    if not isinstance(valid, torch.Tensor) or valid.dtype != torch.bool:
        got = valid.dtype if isinstance(valid, torch.Tensor) else type(valid).__name__
        raise TypeError(f"valid: expected a bool tensor [B, H, W], got {got}")
    if valid.device != x.device:
        raise TypeError(f"valid: expected a tensor on {x.device}, got one on {valid.device}")
    wanted = [x.shape[0], *x.shape[2:]]
    if list(valid.shape) != wanted:
        raise ValueError(f"valid: expected shape {wanted}, got {list(valid.shape)}")
