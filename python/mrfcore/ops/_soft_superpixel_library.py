# SPDX-License-Identifier: Apache-2.0
"""Soft superpixels as torch.library ops; `soft_superpixel.py` checks arguments.

The three derivatives of T(q, x, z) = sum of q_k(p) x_c(p) z_c(s_k(p)), linear in each of the three:
the derivatives of any of them are the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from mrfcore import _core

__all__ = ["soft_pool_op", "soft_product_op", "soft_unpool_op"]

for _name, _first, _second in (("pool", "q", "x"), ("unpool", "q", "z"), ("product", "x", "z")):
    torch.library.define(
        f"mrfcore::soft_superpixel_{_name}",
        f"(Tensor {_first}, Tensor {_second}, int cell, int threads) -> Tensor",
    )

soft_pool_op = torch.ops.mrfcore.soft_superpixel_pool
soft_unpool_op = torch.ops.mrfcore.soft_superpixel_unpool
soft_product_op = torch.ops.mrfcore.soft_superpixel_product


def _array(x: torch.Tensor) -> Any:
    return x.detach().contiguous().numpy()


def _empty_pool(q: torch.Tensor, x: torch.Tensor, cell: int, threads: int) -> torch.Tensor:  # noqa: ARG001
    rows, columns = (x.shape[2] + cell - 1) // cell, (x.shape[3] + cell - 1) // cell
    return x.new_empty((x.shape[0], x.shape[1], rows * columns))


def _empty_unpool(q: torch.Tensor, z: torch.Tensor, cell: int, threads: int) -> torch.Tensor:  # noqa: ARG001
    return z.new_empty((z.shape[0], z.shape[1], q.shape[2], q.shape[3]))


def _empty_product(x: torch.Tensor, z: torch.Tensor, cell: int, threads: int) -> torch.Tensor:  # noqa: ARG001
    return x.new_empty((x.shape[0], 9, x.shape[2], x.shape[3]))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.cell, ctx.threads = inputs[2], inputs[3]


def _backward_of(
    first: Callable[[Any, Any, Any], tuple[Any, Any, Any]],
    second: Callable[[Any, Any, Any], tuple[Any, Any, Any]],
) -> Callable[..., Any]:
    """Gradients of both tensors, each as (op, its two tensors) of (a, b, grad)."""

    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        a, b = ctx.saved_tensors
        found: list[Any] = []
        for i, rule in enumerate((first, second)):
            op, left, right = rule(a, b, grad)
            wanted = ctx.needs_input_grad[i]
            found.append(op(left, right, ctx.cell, ctx.threads) if wanted else None)
        return found[0], found[1], None, None

    return backward


def _register(
    name: str,
    core: Callable[..., None],
    empty: Callable[..., torch.Tensor],
    backward: Callable[..., Any],
) -> None:
    def run(a: torch.Tensor, b: torch.Tensor, cell: int, threads: int) -> torch.Tensor:
        out = empty(a, b, cell, threads)
        core(_array(a), _array(b), cell, threads, out.numpy())
        return out

    qualified = f"mrfcore::soft_superpixel_{name}"
    torch.library.impl(qualified, "cpu")(run)
    torch.library.register_fake(qualified)(empty)
    torch.library.register_autograd(qualified, backward, setup_context=_keep)


_register(
    "pool",
    _core.soft_superpixel_pool,
    _empty_pool,
    _backward_of(
        lambda _, x, grad: (soft_product_op, x, grad),
        lambda q, _, grad: (soft_unpool_op, q, grad),
    ),
)
_register(
    "unpool",
    _core.soft_superpixel_unpool,
    _empty_unpool,
    _backward_of(
        lambda _, z, grad: (soft_product_op, grad, z),
        lambda q, _, grad: (soft_pool_op, q, grad),
    ),
)
_register(
    "product",
    _core.soft_superpixel_product,
    _empty_product,
    _backward_of(
        lambda _, z, grad: (soft_unpool_op, grad, z),
        lambda x, _, grad: (soft_pool_op, grad, x),
    ),
)
