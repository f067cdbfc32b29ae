# SPDX-License-Identifier: Apache-2.0
"""Pairwise max-margin loss of pixel embeddings (Eq 5.1, 5.2), loss and gradient in one pass."""

from __future__ import annotations

import math
from typing import Any

import torch

from mrfcore import _core, _device
from mrfcore._scalars import _checked, _choice, _integer, _threads
from mrfcore.ops import _folding as fold
from mrfcore.ops import _points_device as on_gpu
from mrfcore.ops._function import Function
from mrfcore.ops._points import check_points, gradient_wanted

__all__ = ["pairwise_margin_loss", "sample_points"]


def pairwise_margin_loss(
    x: torch.Tensor,
    labels: torch.Tensor,
    alpha: float = 0.5,
    *,
    weights: torch.Tensor | None = None,
    sample: int | torch.Tensor | None = None,
    neg_weight: float = 1.0,
    normalise: str = "N",
    ignore: int = -1,
    reduction: str = "mean",
    generator: torch.Generator | None = None,
    threads: int | None = None,
) -> torch.Tensor:
    """Embeddings of a group together, those of different groups apart by a margin.

    With s_ij = (1 + cos(x_i, x_j)) / 2 (Eq 5.1), for every item (Eq 5.2)

        c sum over i != j of w_i w_j (1 - s_ij                      if the labels are equal,
                                      neg_weight max(s_ij - alpha, 0)   if they differ).

    The gradient, to x only, is computed along with the loss, in blocks: memory grows with N D. It
    is that of the formula; at s_ij = alpha it is 0. There is no second derivative.

    Args:
        x: [B, D, N] or [B, D, H, W] on the CPU or a CUDA device; normalised here. float16 and
            bfloat16 are computed in float32. A zero vector has s = 1/2 with all others and no
            gradient.
        labels: integers [B, N] or [B, H, W], any values.
        alpha: margin in [0, 1].
        weights: w_i >= 0 like labels; None: 1 / (number of points with that label in the item), so
            that all groups weigh alike. They get no gradient: detach those of a network.
        sample: None: all points; a number: so many drawn from each item by `sample_points`; or
            indices [B, n] that it returned. Weights None count sampled points.
        neg_weight: >= 0.
        normalise: c: "N": 1 / (number of points that count), as printed; "sum": 1 / (sum w)^2.
        ignore: points with this label count for nothing.
        reduction: over the batch: "mean", "sum" or "none".
        generator: for `sample`, on the device of x.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.

    Returns:
        A number, or [B] for "none"; float64 for float64 x, else float32. On a GPU, work is enqueued
        on torch's current stream and nothing waits; what the CPU refuses (NaN or infinite numbers
        in x, negative weights) makes the loss NaN.

    Raises:
        ValueError: wrong shape or value (NaN, infinite); the message names the argument.
        TypeError: wrong type, dtype or device.
    """
    check_points(x)
    _check_like("labels", labels, x, floating=False)
    margin = _checked("alpha", alpha, lambda a: 0 <= a <= 1, "a number in [0, 1]")
    factor = _checked("neg_weight", neg_weight, lambda w: 0 <= w < math.inf, "a finite number >= 0")
    _choice("normalise", normalise, ("N", "sum"))
    _choice("reduction", reduction, ("mean", "sum", "none"))
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    points, groups = x.flatten(2).to(dtype), labels.flatten(1).long()
    if weights is not None:
        _check_like("weights", weights, x, floating=True)
        if torch.is_grad_enabled() and weights.requires_grad:
            raise TypeError(
                "weights: requires a gradient, which this loss does not give; pass weights.detach()"
            )
        weights = weights.detach().flatten(1).to(dtype)
    if sample is not None:
        at = _indices(sample, groups, ignore, generator)
        points = points.gather(2, at.unsqueeze(1).expand(-1, points.shape[1], -1))
        groups = groups.gather(1, at)
        weights = None if weights is None else weights.gather(1, at)
    counted = groups != _integer("ignore", ignore)
    weights = _group_weights(groups, counted, dtype) if weights is None else weights * counted
    loss, _ = _Loss.apply(
        points.contiguous(), groups, weights, gradient_wanted(points), margin, factor,
        _threads(threads),
    )  # fmt: skip
    loss = loss.to(dtype)
    if normalise == "N":
        loss = loss / counted.sum(1).clamp(min=1)
    else:
        mass = weights.sum(1)
        loss = loss / torch.where(mass > 0, mass, torch.ones_like(mass)).square()
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def sample_points(
    labels: torch.Tensor,
    count: int,
    *,
    ignore: int = -1,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Indices [B, count] of points drawn uniformly, without replacement, from each item.

    Points labelled `ignore` are drawn only where an item has fewer others than `count`; they then
    count for nothing. `count` beyond the points of an item gives all of them. `labels`: integers
    [B, N] or [B, H, W], on any device, where `generator` must be, too.

    Raises:
        ValueError, TypeError: the message names the argument.
    """
    if not isinstance(labels, torch.Tensor):
        raise TypeError(f"labels: expected a tensor, got {type(labels).__name__}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels: expected a tensor of integers, got dtype {labels.dtype}")
    if labels.dim() not in (2, 3):
        raise ValueError(f"labels: expected [B, N] or [B, H, W], got shape {list(labels.shape)}")
    if _integer("count", count) < 1:
        raise ValueError(f"count: expected a number >= 1, got {count}")
    if generator is not None and not isinstance(generator, torch.Generator):
        kind = type(generator).__name__
        raise TypeError(f"generator: expected a torch.Generator or None, got {kind}")
    groups = labels.flatten(1)
    keys = torch.rand(groups.shape, generator=generator, device=groups.device)
    keys = keys + (groups == ignore)
    return keys.argsort(1)[:, :count]


# ---------------------------------------------------------------- checks and weights


def _check_like(name: str, values: object, x: torch.Tensor, *, floating: bool) -> None:
    kind = "floating-point" if floating else "integer"
    if not isinstance(values, torch.Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(values).__name__}")
    if values.device != x.device:
        raise TypeError(f"{name}: expected a tensor on {x.device} as x, got one on {values.device}")
    if values.is_floating_point() != floating or values.dtype == torch.bool or values.is_complex():
        raise TypeError(f"{name}: expected a tensor of {kind} numbers, got dtype {values.dtype}")
    expected = [x.shape[0], *x.shape[2:]]
    if list(values.shape) != expected:
        raise ValueError(
            f"{name}: expected shape {expected} for x of shape {list(x.shape)}, got "
            f"{list(values.shape)}"
        )


def _indices(
    sample: int | torch.Tensor, groups: torch.Tensor, ignore: int, generator: Any
) -> torch.Tensor:
    if not isinstance(sample, torch.Tensor):
        if _integer("sample", sample) < 1:
            raise ValueError(
                f"sample: expected None, a number >= 1 or indices [B, n], got {sample}"
            )
        return sample_points(groups, sample, ignore=ignore, generator=generator)
    if sample.device != groups.device:
        raise TypeError(
            f"sample: expected a tensor on {groups.device} as x, got one on {sample.device}"
        )
    batch, points = groups.shape
    fits = sample.dim() == 2 and sample.shape[0] == batch and sample.shape[1] > 0
    if sample.dtype != torch.int64 or not fits:
        raise ValueError(
            f"sample: expected a number or int64 indices [B, n] with B = {batch} and n >= 1, got "
            f"{sample.dtype} of shape {list(sample.shape)}"
        )
    if sample.device.type == "cpu" and not _traced():  # a GPU is not waited for
        low, high = sample.aminmax()
        if low < 0 or high >= points:
            wrong = int(low) if low < 0 else int(high)
            raise ValueError(f"sample: expected indices in 0..{points - 1}, got {wrong}")
    return sample


def _traced() -> bool:
    """Whether tensors have no values to look at."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def _group_weights(groups: torch.Tensor, counted: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """1 / (size of the point's group), 0 for ignored points (Prop 5.1)."""
    groups = groups.contiguous()
    ordered = groups.sort(1).values
    first = torch.searchsorted(ordered, groups)
    last = torch.searchsorted(ordered, groups, right=True)
    return counted.to(dtype) / (last - first).to(dtype)


# ---------------------------------------------------------------- autograd and op


class _Loss(Function):
    """(x, labels, weights, need_grad, alpha, neg_weight, threads) -> (loss [B], d loss / d x)."""

    @staticmethod
    def forward(  # all by name: the compiler takes *args to begin with a context
        x: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor,
        need_grad: bool,
        alpha: float,
        neg_weight: float,
        threads: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ops.mrfcore.pairwise_margin(
            x, labels, weights, need_grad, alpha, neg_weight, threads
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        _, slope = output
        ctx.mark_non_differentiable(slope)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(inputs[0], slope)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor | None, _: Any) -> tuple[Any, ...]:
        nothing = (None,) * 6
        if grad is None:
            return (None, *nothing)
        x, slope = ctx.saved_tensors
        if torch.compiler.is_compiling():
            return (slope * grad.to(slope.dtype)[:, None, None], *nothing)
        return (_Scale.apply(x, slope, grad), *nothing)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return fold.batched(_Loss.apply, info.batch_size, in_dims, args)


class _Scale(Function):
    """(x, slope, grad) -> slope * grad, with an error for double backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(_: torch.Tensor, slope: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
        return slope * grad.to(slope.dtype)[:, None, None]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(_: Any, *grads: Any) -> Any:  # noqa: ARG004
        raise RuntimeError(
            "pairwise_margin_loss: there are no second derivatives: its gradient, taken with "
            "create_graph=True, was differentiated again"
        )


torch.library.define(
    "mrfcore::pairwise_margin",
    "(Tensor x, Tensor labels, Tensor weights, bool need_grad, float alpha, float neg_weight, "
    "int threads) -> (Tensor loss, Tensor grad_x)",
)


@torch.library.impl("mrfcore::pairwise_margin", ("cpu", "cuda"))
def _forward(
    x: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    need_grad: bool,
    alpha: float,
    neg_weight: float,
    threads: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    if _device.on_device(x):
        return on_gpu.pairwise_margin(x, labels, weights, need_grad, alpha, neg_weight)
    points = x.detach().contiguous()
    loss = torch.empty(len(points), dtype=torch.float64)
    grad = torch.empty_like(points) if need_grad else points.new_empty(0)
    _core.pairwise_margin_loss(
        points.numpy(),
        labels.detach().contiguous().numpy(),
        weights.detach().contiguous().numpy(),
        alpha,
        neg_weight,
        threads,
        loss.numpy(),
        grad.numpy() if need_grad else None,
    )
    return loss, grad


@torch.library.register_fake("mrfcore::pairwise_margin")
def _forward_fake(
    x: torch.Tensor,
    labels: torch.Tensor,  # noqa: ARG001
    weights: torch.Tensor,  # noqa: ARG001
    need_grad: bool,
    alpha: float,  # noqa: ARG001
    neg_weight: float,  # noqa: ARG001
    threads: int,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor]:
    grad = x.new_empty(x.shape) if need_grad else x.new_empty(0)
    return x.new_empty(x.shape[0], dtype=torch.float64), grad
