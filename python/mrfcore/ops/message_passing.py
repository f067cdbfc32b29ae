# SPDX-License-Identifier: Apache-2.0
"""Message passing that gradients go through (Alg 3, 4; Eq 3.11 to 3.36).

autograd and vmap live here, outside the ops of `_library.py`: that costs less per call than a
kernel registered with the dispatcher, and torch.compile traces through it.
"""

from __future__ import annotations

import numbers
from typing import Any

import torch

from mrfcore.ops import _folding as fold
from mrfcore.ops._function import Function
from mrfcore.ops._library import backward_op, forward_op
from mrfcore.ops._setup import Setup, encode, make_setup
from mrfcore.ops._tensors import check_floats, check_has_kernel, check_same_device
from mrfcore.potentials import Potential

__all__ = ["message_passing"]

_MOST_LABELS = 65535  # arg-mins are stored in 16 bits


def message_passing(
    unary: torch.Tensor,
    pairwise: Potential | torch.Tensor | Any,
    weights: float | torch.Tensor = 1.0,
    *,
    solver: str = "trwp",
    connectivity: int = 4,
    iterations: int = 5,
    rho: float | None = None,
    damping: float = 0.0,
    head: str = "unary",
    normalise: str | None = None,
    temperature: float = 0.0,
    store_every: int = 1,
    min_convolution: str = "auto",
    threads: int | None = None,
) -> torch.Tensor:
    """Costs of all labels after message passing; what `mrfcore.minimize(...).costs` is.

    Gradients go to `unary`, to `weights` if it is a tensor, and to `pairwise` if it is one;
    only those that are asked for are computed, and nothing is kept where none is. Costs are
    piecewise linear in all of them (but for mean field and temperature > 0): gradients are those of
    the piece, the lowest label winning a tie. There is no second derivative.

    Args:
        unary: [B, L, H, W] on the CPU or a CUDA device, which decides where all is done; other
            tensors must be there, too. float32 and float64 in channels_last (labels contiguous,
            what `.to(memory_format=torch.channels_last)` and channels_last networks give) are used
            without a copy; other layouts are copied once. float16 and bfloat16 are computed in
            float32 and returned as they came; under autocast they are returned in float32. +inf
            forbids a label; NaN is refused.
        pairwise: V: a potential such as `mrfcore.TruncatedLinear(2)`, or a table [L, L], a
            tensor to learn it; V[l, m] is V(x_owner, x_other) as for `mrfcore.Table`.
        weights: w_ij >= 0: a number, a tensor without dimensions, [P, H, W] or [B or 1, P, H, W]
            with P = connectivity / 2, pairs as for `mrfcore.minimize`. Contiguous ones are used
            without a copy.
        solver: "trwp" (Eq 3.10), "isgmr" (Eq 3.9), "sgm" (Eq 3.3), "bp" or "mean_field".
        connectivity: neighbours of a node: 4, 8 or 16.
        iterations: how many.
        rho: trwp: share of trees through an edge, in (0.001, 1]; None: 2 / connectivity.
        damping: trwp, isgmr, bp: share of the old message that stays, in [0, 1).
        head: sgm: first message of a scanline, "unary" (the textbook's) or "zero".
        normalise: mean_field: "directions" divides the neighbours' sum by the connectivity.
        temperature: isgmr, trwp, bp: 0 takes minima; from 1e-6 on soft minima -t log sum
            exp(-x / t) (Eq 3.44): sum-product, smooth.
        store_every: keep what backward needs for every n-th iteration only, and recompute the
            iterations between: less memory, more time. The result is the same.
        min_convolution: "auto", or "general" for the O(L^2) path whatever the potential.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.

    Returns:
        Costs [B, L, H, W] in channels_last, dtype of `unary` (float32 for half types under
        autocast); -costs are logits. On a GPU, work is enqueued on torch's current stream and
        nothing waits, unless a scalar weight or a table has to be copied there; what the CPU
        refuses (NaN, -inf, 1e26 and more, weights below 0) makes all costs of its item NaN. The
        same bits every time, on either.

    Raises:
        ValueError: wrong shape or value; the message names the argument.
        TypeError: wrong type, dtype or device, or an option that the solver does not have.
        MemoryError: it does not fit.
    """
    potential, parameters, table = encode(pairwise)
    if table is not pairwise and table is not None and isinstance(unary, torch.Tensor):
        table = table.to(unary.device)  # an array is a parameter, wherever it lies
    setup = make_setup(
        potential,
        parameters,
        solver=solver,
        connectivity=connectivity,
        iterations=iterations,
        rho=rho,
        damping=damping,
        head=head,
        normalise=normalise,
        temperature=temperature,
        store_every=store_every,
        min_convolution=min_convolution,
        threads=threads,
    )
    return run(unary, table, weights, setup)


def run(
    unary: torch.Tensor,
    table: torch.Tensor | None,
    weights: float | torch.Tensor,
    setup: Setup,
) -> torch.Tensor:
    """`message_passing` with its options checked already."""
    _check_unary(unary)
    if table is not None:
        _check_table(table, unary)
    dtype = torch.float64 if unary.dtype == torch.float64 else torch.float32
    result = unary.dtype
    if torch.is_autocast_enabled(unary.device.type):
        result = dtype
    nodes = unary.permute(0, 2, 3, 1).to(dtype, memory_format=torch.contiguous_format).contiguous()
    if table is not None:
        table = table.to(dtype)
    number, tensor = _weights(weights, unary, setup.connectivity)
    if tensor is not None:
        tensor = tensor.to(dtype).contiguous()
    keep = _gradient_wanted(nodes, table, tensor)
    costs, _ = _MessagePassing.apply(nodes, table, tensor, number, setup, keep)
    return costs.permute(0, 3, 1, 2).to(result)


# ---------------------------------------------------------------- checks


def _check_tensor(name: str, x: torch.Tensor) -> None:
    if x.device.type == "meta":
        raise TypeError(f"{name}: expected a tensor with values, got one on the meta device")
    check_has_kernel(name, x)
    check_floats(name, x)


def _check_unary(unary: object) -> None:
    if not isinstance(unary, torch.Tensor):
        raise TypeError(f"unary: expected a tensor, got {type(unary).__name__}")
    if unary.dim() != 4:
        raise ValueError(f"unary: expected [B, L, H, W], got shape {list(unary.shape)}")
    _check_tensor("unary", unary)
    if unary.numel() == 0:
        raise ValueError(
            f"unary: expected [B, L, H, W] with at least one pixel and one label, got shape "
            f"{list(unary.shape)}"
        )
    if unary.shape[1] > _MOST_LABELS:
        raise ValueError(
            f"unary: expected at most {_MOST_LABELS} labels in [B, L, H, W], got L = "
            f"{unary.shape[1]}; were these [B, H, W, L]?"
        )


def _check_table(table: torch.Tensor, unary: torch.Tensor) -> None:
    labels = unary.shape[1]
    _check_tensor("pairwise", table)
    check_same_device("pairwise", table, unary, "unary")
    if table.dim() != 2 or table.shape[0] != labels or table.shape[1] != labels:
        raise ValueError(
            f"pairwise: expected a table [L, L] with L = {labels} as in unary [B, L, H, W], got "
            f"shape {list(table.shape)}"
        )


def _weights(
    weights: object, unary: torch.Tensor, connectivity: int
) -> tuple[float, torch.Tensor | None]:
    """(number, None), or a tensor with no dimension or [1 or B, P, H, W]."""
    if isinstance(weights, torch.Tensor):
        _check_tensor("weights", weights)
        if weights.dim() == 0 and weights.device.type == "cpu":
            # As in torch's own operations, a CPU number may meet tensors on any device.
            return 0.0, weights.to(unary.device)
        check_same_device("weights", weights, unary, "unary")
        if weights.dim() == 0:
            return 0.0, weights
        return 0.0, _edge_weights(weights, unary.shape, connectivity)
    if isinstance(weights, numbers.Real) and not isinstance(weights, bool):
        return float(weights), None
    raise TypeError(f"weights: expected a number or a tensor, got {type(weights).__name__}")


def _edge_weights(weights: torch.Tensor, shape: torch.Size, connectivity: int) -> torch.Tensor:
    batch, _, height, width = shape
    expected = [connectivity // 2, height, width]
    batched = weights.unsqueeze(0) if weights.dim() == 3 else weights
    # Not `in (1, batch)`: while torch.compile traces a batch of symbolic size, that is never true.
    one_or_all = batched.shape[0] == 1 or batched.shape[0] == batch
    if list(batched.shape[1:]) != expected or not one_or_all:
        several = f", {[1, *expected]} or {[batch, *expected]}" if batch > 1 else ""
        raise ValueError(
            f"weights: expected a number or shape {expected}{several or f' or {[1, *expected]}'} "
            f"([B or 1, P, H, W] with P = connectivity / 2 = {connectivity // 2}), got shape "
            f"{list(weights.shape)}"
        )
    return batched


def _gradient_wanted(*inputs: torch.Tensor | None) -> bool:
    # Tensors inside torch.func.grad, vmap(...) do not all say whether somebody differentiates them.
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        return True
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)


# ---------------------------------------------------------------- autograd


class _MessagePassing(Function):
    """(unary, table, weights, weight, setup, keep) -> (costs, tape)."""

    @staticmethod
    def forward(
        unary: torch.Tensor,
        table: torch.Tensor | None,
        weights: torch.Tensor | None,
        weight: float,
        setup: Setup,
        keep: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return forward_op(unary, table, weights, weight, keep, *setup)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        unary, table, weights, ctx.weight, ctx.setup, _ = inputs
        _, tape = output
        ctx.mark_non_differentiable(tape)
        ctx.set_materialize_grads(False)  # else backward first fills a tape's worth of zeros
        ctx.save_for_backward(unary, table, weights, tape)

    @staticmethod
    def backward(ctx: Any, grad_costs: torch.Tensor | None, _: Any) -> tuple[Any, ...]:
        if grad_costs is None:
            return (None,) * 6
        unary, table, weights, tape = ctx.saved_tensors
        needs = tuple(ctx.needs_input_grad[:3])
        args = (unary, table, weights, ctx.weight, tape, grad_costs.contiguous(), *needs)
        if torch.compiler.is_compiling():  # compiled graphs refuse a second derivative themselves
            grads = backward_op(*args, *ctx.setup)
        else:
            grads = _Backward.apply(*args, ctx.setup)
        kept = tuple(grad if need else None for grad, need in zip(grads, needs, strict=True))
        return (*kept, None, None, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], *args: Any
    ) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[int | None, int | None]]:
        dims = in_dims[:3]
        if not fold.folds(dims, args):
            stacked = fold.loop(info.batch_size, _MessagePassing.apply, in_dims, args)
            return (stacked[0], stacked[1]), (0, 0)
        unary, table, weights = fold.inputs(info.batch_size, dims, args[:3])
        costs, tape = _MessagePassing.apply(unary, table, weights, *args[3:])
        # One tape of the folded batch, which nobody but _Backward.vmap reads: it has no dimension.
        return (costs.unflatten(0, (info.batch_size, -1)), tape), (0, None)


class _Backward(Function):
    """The backward op, so that it has a vmap rule, and an error for double backward."""

    @staticmethod
    def forward(*args: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return backward_op(*args[:-1], *args[-1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        pass

    @staticmethod
    def backward(_: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "message_passing: second derivatives (double backward, create_graph=True) are not "
            "given: costs are piecewise linear in the inputs, so that they are zero almost "
            f"everywhere (mean_field and temperature > 0 have some, not computed); got "
            f"{len(grads)} gradients of gradients"
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, tuple[int, int, int]]:
        dims, weights = in_dims[:3], args[2]
        need_table, need_weights = args[7:9]
        folded = fold.folds(dims, args)
        scalar = weights is not None and fold.item_dim(weights, dims[2]) == 0
        if not folded:
            return fold.loop(info.batch_size, _Backward.apply, in_dims, args), (0, 0, 0)
        if need_table or (need_weights and scalar):
            # The core sums these over the batch. One by one, then, each with a tape of its own.
            return fold.loop(info.batch_size, _with_fresh_tape, in_dims, args), (0, 0, 0)
        return fold.backward(info.batch_size, _Backward.apply, in_dims, args), (0, 0, 0)


def _with_fresh_tape(*args: Any) -> Any:
    unary, table, weights, weight, _, grad, *needs, setup = args
    _, tape = _MessagePassing.apply(unary, table, weights, weight, setup, True)
    return _Backward.apply(unary, table, weights, weight, tape, grad, *needs, setup)
