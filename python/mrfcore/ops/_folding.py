# SPDX-License-Identifier: Apache-2.0
"""vmap by folding: a dimension that vmap adds becomes part of the batch.

Scalar weights and tables have no batch in the core: calls where these differ from item to item are
made one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["backward", "batched", "channels", "folds", "inputs", "item_dim", "loop"]


def item_dim(x: torch.Tensor, dim: int | None) -> int:
    """Number of dimensions of one item of x."""
    return x.dim() - (dim is not None)


def folds(dims: Sequence[int | None], args: Sequence[Any]) -> bool:
    """Whether the forward of (unary, table, weights, ...) with these dimensions is folded.

    The answer is the same in forward and backward, which read one tape.
    """
    unary, table, weights = dims
    if table is not None or (weights is not None and item_dim(args[2], weights) == 0):
        return False
    return unary is not None or weights is not None


def _fold(x: torch.Tensor, dim: int | None, size: int) -> torch.Tensor:
    """[size, B, ...] or [B, ...] as [size * B, ...]."""
    every = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return every.flatten(0, 1)


def batched(
    apply: Callable[..., Any], size: int, in_dims: Sequence[Any], args: Sequence[Any]
) -> tuple[Any, Any]:
    """`apply` to tensors that all begin with a batch, once: results and their dimensions for vmap.

    Tensors that an op did not make, and hence left without elements, stay as they are.
    """
    folded = [
        (x.new_empty(0) if item_dim(x, dim) < 2 and not x.numel() else _fold(x, dim, size))
        if isinstance(x, torch.Tensor)
        else x
        for x, dim in zip(args, in_dims, strict=True)
    ]
    results = apply(*folded)
    if isinstance(results, torch.Tensor):
        return results.unflatten(0, (size, -1)), 0
    made = [x.dim() > 1 or x.numel() > 0 for x in results]
    unfolded = (x.unflatten(0, (size, -1)) if m else x for x, m in zip(results, made, strict=True))
    return tuple(unfolded), tuple(0 if m else None for m in made)


def channels(x: torch.Tensor, dim: int) -> torch.Tensor:
    """[B, C, ...] with a dimension more as [B, size * C, ...]: items that share all else."""
    return x.movedim(dim, 1).flatten(1, 2)


def inputs(
    size: int, dims: Sequence[int | None], tensors: Sequence[torch.Tensor | None]
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Unary, table and weights with `size` folded into the batch; weights shared by all stay so."""
    unary, table, weights = tensors
    assert unary is not None
    batch = unary.shape[0] if dims[0] is None else unary.movedim(dims[0], 0).shape[1]
    folded = _fold(unary, dims[0], size).contiguous()
    if weights is None or weights.dim() == 0 or (dims[2] is None and weights.shape[0] == 1):
        return folded, table, weights
    return folded, table, _every_item(weights, dims[2], size, batch)


def _every_item(weights: torch.Tensor, dim: int | None, size: int, batch: int) -> torch.Tensor:
    """Edge weights [size * batch, P, H, W]."""
    every = weights.expand(size, *weights.shape) if dim is None else weights.movedim(dim, 0)
    return every.expand(size, batch, *every.shape[2:]).flatten(0, 1).contiguous()


def backward(
    size: int, apply: Callable[..., Any], in_dims: Sequence[Any], args: Sequence[Any]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The backward op on a folded batch: gradients [size, ...] of unary, table (none), weights."""
    unary, table, weights, weight, tape, grad, need_unary, need_table, need_weights, setup = args
    nodes, _, edges = inputs(size, in_dims[:3], (unary, table, weights))
    shared = 0  # items of a batch that share their weights
    if need_weights and weights is not None:
        item = weights.shape[0] if in_dims[2] is None else weights.movedim(in_dims[2], 0).shape[1]
        batch = nodes.shape[0] // size
        shared = batch if item == 1 else 1
        edges = _every_item(weights, in_dims[2], size, batch)
    grads = apply(
        nodes,
        table,
        edges,
        weight,
        tape,
        _fold(grad, in_dims[5], size).contiguous(),
        need_unary,
        need_table,
        need_weights,
        setup,
    )
    to_unary = grads[0].unflatten(0, (size, -1)) if need_unary else grads[0].new_empty(size, 0)
    to_weights = grads[2].new_empty(size, 0)
    if shared:
        to_weights = grads[2].unflatten(0, (size, -1))
        to_weights = to_weights.sum(1, keepdim=True) if shared > 1 else to_weights
    return to_unary, grads[1].new_empty(size, 0), to_weights


def loop(
    size: int, apply: Callable[..., Any], in_dims: Sequence[Any], args: Sequence[Any]
) -> tuple[torch.Tensor, ...]:
    """`apply` to one item after the other, results stacked."""
    rows = []
    for i in range(size):
        item = [
            x.select(dim, i).contiguous() if isinstance(x, torch.Tensor) and dim is not None else x
            for x, dim in zip(args, in_dims, strict=True)
        ]
        rows.append(apply(*item))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))
