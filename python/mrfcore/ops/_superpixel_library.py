# SPDX-License-Identifier: Apache-2.0
"""Superpixel pooling as torch.library ops with their derivatives; `superpixel.py` checks arguments.

Pooling and unpooling are linear and each other's adjoint, so that derivatives of any order are made
of the same three ops.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mrfcore import _core

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


@torch.library.impl("mrfcore::superpixel_pool", "cpu")
def _pool(x: torch.Tensor, ids: torch.Tensor, num: int, mean: bool, threads: int) -> torch.Tensor:
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


def _keep_pool(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
    _, ids, _, ctx.mean, ctx.threads = inputs
    ctx.save_for_backward(ids)


def _pool_backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
    (ids,) = ctx.saved_tensors
    return unpool_op(grad, ids, ctx.mean, ctx.threads), None, None, None, None


torch.library.register_autograd(
    "mrfcore::superpixel_pool", _pool_backward, setup_context=_keep_pool
)


# ---------------------------------------------------------------- unpool


@torch.library.impl("mrfcore::superpixel_unpool", "cpu")
def _unpool(z: torch.Tensor, ids: torch.Tensor, divide: bool, threads: int) -> torch.Tensor:
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


def _keep_unpool(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
    z, ids, ctx.divide, ctx.threads = inputs
    ctx.num = z.shape[2]
    ctx.save_for_backward(ids)


def _unpool_backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
    (ids,) = ctx.saved_tensors
    return pool_op(grad, ids, ctx.num, ctx.divide, ctx.threads), None, None, None


torch.library.register_autograd(
    "mrfcore::superpixel_unpool", _unpool_backward, setup_context=_keep_unpool
)


# ---------------------------------------------------------------- maximum


@torch.library.impl("mrfcore::superpixel_maximum", "cpu")
def _maximum(
    x: torch.Tensor, ids: torch.Tensor, num: int, threads: int
) -> tuple[torch.Tensor, torch.Tensor]:
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


def _keep_maximum(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.shape = inputs[0].shape
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _maximum_backward(
    ctx: Any,
    grad: torch.Tensor,
    _: torch.Tensor,
) -> tuple[Any, ...]:
    (winners,) = ctx.saved_tensors
    batch, channels, height, width = ctx.shape
    # An empty superpixel adds 0 to pixel 0. Every other sum has one term: no order to speak of.
    values = torch.where(winners >= 0, grad, torch.zeros_like(grad))
    flat = grad.new_zeros((batch, channels, height * width))
    flat.scatter_add_(2, winners.clamp(min=0), values)
    return flat.view(batch, channels, height, width), None, None, None


torch.library.register_autograd(
    "mrfcore::superpixel_maximum", _maximum_backward, setup_context=_keep_maximum
)


# ---------------------------------------------------------------- logit consistency


@torch.library.impl("mrfcore::logit_consistency", "cpu")
def _consistency(
    x: torch.Tensor,
    ids: torch.Tensor,
    valid: torch.Tensor | None,
    keep: bool,
    adjoint: bool,
    threads: int,
) -> torch.Tensor:
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


def _keep_consistency(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
    _, ids, valid, ctx.keep, ctx.adjoint, ctx.threads = inputs
    ctx.save_for_backward(ids, valid)


def _consistency_backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
    ids, valid = ctx.saved_tensors
    back = consistency_op(grad, ids, valid, ctx.keep, not ctx.adjoint, ctx.threads)
    return back, None, None, None, None, None


torch.library.register_autograd(
    "mrfcore::logit_consistency", _consistency_backward, setup_context=_keep_consistency
)
