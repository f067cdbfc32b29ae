# SPDX-License-Identifier: Apache-2.0
"""Derivatives and vmap rules of the ops on superpixels; `superpixel.py` checks arguments.

Pooling and unpooling are linear and each other's adjoint, so that derivatives of any order are made
of the same ops.
"""

from __future__ import annotations

from typing import Any

import torch

from mrfcore.ops import _folding as fold
from mrfcore.ops._function import Function
from mrfcore.ops._superpixel_library import consistency_op, maximum_op, pool_op, unpool_op

__all__ = ["Consistency", "Maximum", "Pool", "Unpool"]


class Pool(Function):
    """(x, ids, num, mean, threads) -> z."""

    @staticmethod
    def forward(
        x: torch.Tensor, ids: torch.Tensor, num: int, mean: bool, threads: int
    ) -> torch.Tensor:
        return pool_op(x, ids, num, mean, threads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        del output
        _, ids, _, ctx.mean, ctx.threads = inputs
        ctx.save_for_backward(ids)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (ids,) = ctx.saved_tensors
        return _call(Unpool, grad, ids, ctx.mean, ctx.threads), None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return fold.batched(Pool.apply, info.batch_size, in_dims, args)


class Unpool(Function):
    """(z, ids, divide, threads) -> x."""

    @staticmethod
    def forward(z: torch.Tensor, ids: torch.Tensor, divide: bool, threads: int) -> torch.Tensor:
        return unpool_op(z, ids, divide, threads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        del output
        z, ids, ctx.divide, ctx.threads = inputs
        ctx.num = z.shape[2]
        ctx.save_for_backward(ids)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (ids,) = ctx.saved_tensors
        return _call(Pool, grad, ids, ctx.num, ctx.divide, ctx.threads), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return fold.batched(Unpool.apply, info.batch_size, in_dims, args)


class Maximum(Function):
    """(x, ids, num, threads) -> (z, the pixels it came from)."""

    @staticmethod
    def forward(
        x: torch.Tensor, ids: torch.Tensor, num: int, threads: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return maximum_op(x, ids, num, threads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        ctx.shape = inputs[0].shape
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
        (winners,) = ctx.saved_tensors
        batch, channels, height, width = ctx.shape
        # An empty superpixel adds 0 to pixel 0. Every other sum has one term: no order to speak of.
        values = torch.where(winners >= 0, grad, torch.zeros_like(grad))
        flat = values.new_zeros((batch, channels, height * width))
        flat = flat.scatter_add(2, winners.clamp(min=0), values)
        return flat.view(batch, channels, height, width), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return fold.batched(Maximum.apply, info.batch_size, in_dims, args)


class Consistency(Function):
    """(x, ids, valid or None, keep, adjoint, threads) -> y."""

    @staticmethod
    def forward(
        x: torch.Tensor,
        ids: torch.Tensor,
        valid: torch.Tensor | None,
        keep: bool,
        adjoint: bool,
        threads: int,
    ) -> torch.Tensor:
        return consistency_op(x, ids, valid, keep, adjoint, threads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        del output
        _, ids, valid, ctx.keep, ctx.adjoint, ctx.threads = inputs
        ctx.save_for_backward(ids, valid)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        ids, valid = ctx.saved_tensors
        back = _call(Consistency, grad, ids, valid, ctx.keep, not ctx.adjoint, ctx.threads)
        return back, None, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return fold.batched(Consistency.apply, info.batch_size, in_dims, args)


def _call(function: type[torch.autograd.Function], *args: Any) -> Any:
    # Compiled graphs have no second derivatives, nor functions within functions' backward.
    if torch.compiler.is_compiling():
        return function.forward(*args)
    return function.apply(*args)
