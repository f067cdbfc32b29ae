# SPDX-License-Identifier: Apache-2.0
"""Superpixel pooling as torch.library ops; their derivatives are in `_superpixel_autograd.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mrfcore import _core, _device
from mrfcore.ops import _superpixel_device as device

__all__ = ["consistency_op", "maximum_op", "pool_op", "unpool_op"]

torch.library.define(
    "mrfcore::superpixel_pool",
    "(Tensor x, Tensor ids, SymInt num, bool mean, int threads) -> Tensor",
)
torch.library.define(
    "mrfcore::superpixel_maximum",
    "(Tensor x, Tensor ids, SymInt num, int threads) -> (Tensor, Tensor)",
)
torch.library.define(
    "mrfcore::superpixel_unpool", "(Tensor z, Tensor ids, bool divide, int threads) -> Tensor"
)
torch.library.define(
    "mrfcore::logit_consistency",
    "(Tensor x, Tensor ids, Tensor? valid, bool keep, bool adjoint, int threads) -> Tensor",
)

pool_op = torch.ops.mrfcore.superpixel_pool
maximum_op = torch.ops.mrfcore.superpixel_maximum
unpool_op = torch.ops.mrfcore.superpixel_unpool
consistency_op = torch.ops.mrfcore.logit_consistency


def _array(x: torch.Tensor) -> Any:
    """On the same memory where it is contiguous; graph compilers may change strides."""
    return x.detach().contiguous().numpy()


# ---------------------------------------------------------------- mean and sum


@torch.library.impl("mrfcore::superpixel_pool", ("cpu", "cuda"))
def _pool(x: torch.Tensor, ids: torch.Tensor, num: int, mean: bool, threads: int) -> torch.Tensor:
    if _device.on_device(x):
        return device.pool(x, ids, num, mean)
    z = x.new_empty((x.shape[0], x.shape[1], num))
    kind = _core.SuperpixelReduce.mean if mean else _core.SuperpixelReduce.sum
    _core.superpixel_pool(_array(x), _array(ids), kind, threads, z.numpy(), None)
    return z


@torch.library.register_fake("mrfcore::superpixel_pool")
def _pool_fake(
    x: torch.Tensor,
    ids: torch.Tensor,  # noqa: ARG001
    num: int,
    mean: bool,  # noqa: ARG001
    threads: int,  # noqa: ARG001
) -> torch.Tensor:
    return x.new_empty((x.shape[0], x.shape[1], num))


# ---------------------------------------------------------------- unpool


@torch.library.impl("mrfcore::superpixel_unpool", ("cpu", "cuda"))
def _unpool(z: torch.Tensor, ids: torch.Tensor, divide: bool, threads: int) -> torch.Tensor:
    if _device.on_device(z):
        return device.unpool(z, ids, divide)
    out = z.new_empty((z.shape[0], z.shape[1], ids.shape[1], ids.shape[2]))
    _core.superpixel_unpool(_array(z), _array(ids), divide, threads, out.numpy())
    return out


@torch.library.register_fake("mrfcore::superpixel_unpool")
def _unpool_fake(
    z: torch.Tensor,
    ids: torch.Tensor,
    divide: bool,  # noqa: ARG001
    threads: int,  # noqa: ARG001
) -> torch.Tensor:
    return z.new_empty((z.shape[0], z.shape[1], ids.shape[1], ids.shape[2]))


# ---------------------------------------------------------------- maximum


@torch.library.impl("mrfcore::superpixel_maximum", ("cpu", "cuda"))
def _maximum(
    x: torch.Tensor, ids: torch.Tensor, num: int, threads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    if _device.on_device(x):
        return device.maximum(x, ids, num)
    z = x.new_empty((x.shape[0], x.shape[1], num))
    winners = torch.empty(z.shape, dtype=torch.int64)
    _core.superpixel_pool(
        _array(x), _array(ids), _core.SuperpixelReduce.max, threads, z.numpy(), winners.numpy()
    )
    return z, winners


@torch.library.register_fake("mrfcore::superpixel_maximum")
def _maximum_fake(
    x: torch.Tensor,
    ids: torch.Tensor,  # noqa: ARG001
    num: int,
    threads: int,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (x.shape[0], x.shape[1], num)
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


# ---------------------------------------------------------------- logit consistency


@torch.library.impl("mrfcore::logit_consistency", ("cpu", "cuda"))
def _consistency(
    x: torch.Tensor,
    ids: torch.Tensor,
    valid: torch.Tensor | None,
    keep: bool,
    adjoint: bool,
    threads: int,
) -> torch.Tensor:
    if _device.on_device(x):
        return device.consistency(x, ids, valid, keep, adjoint)
    out = x.new_empty(x.shape)
    mask = None if valid is None else _array(valid).view(np.uint8)
    _core.superpixel_consistency(
        _array(x), _array(ids), 0, mask, keep, adjoint, threads, out.numpy()
    )
    return out


@torch.library.register_fake("mrfcore::logit_consistency")
def _consistency_fake(
    x: torch.Tensor,
    ids: torch.Tensor,  # noqa: ARG001
    valid: torch.Tensor | None,  # noqa: ARG001
    keep: bool,  # noqa: ARG001
    adjoint: bool,  # noqa: ARG001
    threads: int,  # noqa: ARG001
) -> torch.Tensor:
    return x.new_empty(x.shape)
