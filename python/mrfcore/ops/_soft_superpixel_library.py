# SPDX-License-Identifier: Apache-2.0
"""Soft superpixels as torch.library ops, with derivatives and vmap rules outside of these.

The ops are the derivatives of T(q, x, z) = sum of q_k(p) x_c(p) z_c(s_k(p)), linear in each of the
three: the derivatives of any of them are the others. `soft_superpixel.py` checks arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from mrfcore import _core, _device
from mrfcore.ops import _folding as fold
from mrfcore.ops import _superpixel_device as device
from mrfcore.ops._function import Function

__all__ = ["soft_pool_op", "soft_product_op", "soft_unpool_op"]

_ARGUMENTS = {"pool": ("q", "x"), "unpool": ("q", "z"), "product": ("x", "z")}
for _name, (_first, _second) in _ARGUMENTS.items():
    torch.library.define(
        f"mrfcore::soft_superpixel_{_name}",
        f"(Tensor {_first}, Tensor {_second}, int cell, int threads) -> Tensor",
    )


def _array(x: torch.Tensor) -> Any:
    return x.detach().contiguous().numpy()


def _empty_pool(q: torch.Tensor, x: torch.Tensor, cell: int, threads: int) -> torch.Tensor:  # noqa: ARG001
    rows, columns = (x.shape[2] + cell - 1) // cell, (x.shape[3] + cell - 1) // cell
    return x.new_empty((x.shape[0], x.shape[1], rows * columns))


def _empty_unpool(q: torch.Tensor, z: torch.Tensor, cell: int, threads: int) -> torch.Tensor:  # noqa: ARG001
    return z.new_empty((z.shape[0], z.shape[1], q.shape[2], q.shape[3]))


def _empty_product(x: torch.Tensor, z: torch.Tensor, cell: int, threads: int) -> torch.Tensor:  # noqa: ARG001
    return x.new_empty((x.shape[0], 9, x.shape[2], x.shape[3]))


def _register(
    name: str,
    core: Callable[..., None],
    empty: Callable[..., torch.Tensor],
) -> None:
    def run(a: torch.Tensor, b: torch.Tensor, cell: int, threads: int) -> torch.Tensor:
        out = empty(a, b, cell, threads)
        if _device.on_device(a):
            return device.soft(name, a, b, cell, out)
        core(_array(a), _array(b), cell, threads, out.numpy())
        return out

    qualified = f"mrfcore::soft_superpixel_{name}"
    torch.library.impl(qualified, ("cpu", "cuda"))(run)
    torch.library.register_fake(qualified)(empty)


_register("pool", _core.soft_superpixel_pool, _empty_pool)
_register("unpool", _core.soft_superpixel_unpool, _empty_unpool)
_register("product", _core.soft_superpixel_product, _empty_product)

_OPS = {name: getattr(torch.ops.mrfcore, f"soft_superpixel_{name}") for name in _ARGUMENTS}


class _Soft(Function):
    """(name, a, b, cell, threads) -> "pool" of (q, x), "unpool" of (q, z), "product" of (x, z)."""

    @staticmethod
    def forward(
        name: str, a: torch.Tensor, b: torch.Tensor, cell: int, threads: int
    ) -> torch.Tensor:
        return _OPS[name](a, b, cell, threads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        del output
        ctx.name, a, b, *ctx.setup = inputs
        ctx.save_for_backward(a, b)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        a, b = ctx.saved_tensors
        terms = {
            "pool": (("product", b, grad), ("unpool", a, grad)),
            "unpool": (("product", grad, b), ("pool", a, grad)),
            "product": (("unpool", grad, b), ("pool", grad, a)),
        }[ctx.name]
        found = [
            _soft(*term, *ctx.setup) if wanted else None
            for term, wanted in zip(terms, ctx.needs_input_grad[1:3], strict=True)
        ]
        return None, *found, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return fold.batched(_Soft.apply, info.batch_size, in_dims, args)


def _soft(name: str, *args: Any) -> torch.Tensor:
    # Compiled graphs have no second derivatives, nor functions within functions' backward.
    call = _OPS[name] if torch.compiler.is_compiling() else partial(_Soft.apply, name)
    found: torch.Tensor = call(*args)
    return found


def soft_pool_op(q: torch.Tensor, x: torch.Tensor, cell: int, threads: int) -> torch.Tensor:
    """[B, C, S]: sum over pixels of q_k(p) x(p)."""
    return _Soft.apply("pool", q, x, cell, threads)


def soft_unpool_op(q: torch.Tensor, z: torch.Tensor, cell: int, threads: int) -> torch.Tensor:
    """[B, C, H, W]: sum over slots of q_k(p) z(s_k(p))."""
    return _Soft.apply("unpool", q, z, cell, threads)


def soft_product_op(x: torch.Tensor, z: torch.Tensor, cell: int, threads: int) -> torch.Tensor:
    """[B, 9, H, W]: sum over channels of x(p) z(s_k(p))."""
    return _Soft.apply("product", x, z, cell, threads)
