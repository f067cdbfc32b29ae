# SPDX-License-Identifier: Apache-2.0
"""Filter flow: a filter of its own for every pixel (Kong 2019, Eq 6.1), and the flow it stands for.

As everywhere in this package, autograd lives outside the torch.library ops.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from mrfcore._scalars import _choice, _flag, _threads
from mrfcore.ops import _folding as fold
from mrfcore.ops._filter_flow_library import (
    filter_gradient_op,
    forward_op,
    side_of,
    transpose_op,
)
from mrfcore.ops._function import Function
from mrfcore.ops._tensors import check_floats, check_has_kernel

__all__ = ["expected_flow", "filter_flow", "filter_flow_transpose"]

_PADDINGS = ("zeros", "replicate", "reflect")


def filter_flow(
    image: torch.Tensor,
    filters: torch.Tensor,
    normalize: str | None = None,
    padding: str = "zeros",
    *,
    return_flow: bool = False,
    threads: int | None = None,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Apply to every pixel its own k x k filter (Eq 6.1); the channels of a pixel share it.

    out[b, c, y, x] = sum_p w[b, p, y, x] image[b, c, y + u_p, x + v_p]

    Taps p = 0 .. k^2 - 1 go row by row: u_p = p // k - (k - 1) // 2, v_p = p % k - (k - 1) // 2. An
    odd k is centred; an even k reaches from 1 - k/2 to k/2. It is a cross-correlation: no flip.

    Gradients go to both arguments, of any order; first-order ones need no memory of the filters'
    size beyond the gradient itself, also with the softmax, whose weights are never stored. A GPU
    gives the CPU's bits, but for a softmax's rounding; nothing waits for it (CUDA graphs work).

    Args:
        image: [B, C, H, W] on the CPU or a GPU. float16 and bfloat16 are computed in float32 and
            returned as they came; under autocast they are returned in float32.
        filters: [B, k * k, H, W] on the same device, k from 1 to 31. float16 and bfloat16 are read
            as they are, and summed in float32. All is float64 where either tensor is.
        normalize: None: weights are the filters. "softmax": their softmax over the taps, in the
            same pass: filters are read once.
        padding: what lies outside the image: "zeros", "replicate" or "reflect" (without the border
            pixel repeated; H and W must exceed k // 2).
        return_flow: return the expected flow, too, from the same pass.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.
            No effect on a GPU.

    Returns:
        [B, C, H, W], dtype of `image`; with `return_flow` also what `expected_flow` gives.

    Raises:
        ValueError: wrong shape or value; the message names the argument.
        TypeError: wrong type, dtype or device.
    """
    setup = _setup(normalize, padding, threads)
    _flag("return_flow", return_flow)
    x, weights = _inputs(image, filters, setup)
    out, flow, _, _ = _FilterFlow.apply(x, weights, return_flow, setup)
    out = out.to(_result_dtype(image, out))
    return (out, flow) if return_flow else out


def filter_flow_transpose(
    image: torch.Tensor,
    filters: torch.Tensor,
    normalize: str | None = None,
    padding: str = "zeros",
    *,
    threads: int | None = None,
) -> torch.Tensor:
    """The transposed operator: every pixel spreads its value with its own filter.

    <filter_flow(a, filters), b> = <a, filter_flow_transpose(b, filters)> for the same options. It
    is what `filter_flow` does to gradients of its image, in gather form: the sum over the pixels
    that read this one. With the softmax, filters are read twice.

    Arguments, result and errors are those of `filter_flow`.
    """
    setup = _setup(normalize, padding, threads)
    x, weights = _inputs(image, filters, setup)
    out = _Transpose.apply(x, weights, setup)
    return out.to(_result_dtype(image, out))


def expected_flow(
    filters: torch.Tensor, normalize: str | None = None, *, threads: int | None = None
) -> torch.Tensor:
    """Mean offset of every pixel's filter (Eq 7.6): sum_p w_p (v_p, u_p).

    It has a meaning for weights that are not negative and sum to one, such as those of the softmax.

    Args:
        filters: [B, k * k, H, W], as for `filter_flow`.
        normalize: None, or "softmax" for weights softmax(filters).
        threads: as for `filter_flow`.

    Returns:
        [B, 2, H, W] in pixels, x first; float32, float64 for filters in float64.

    Raises:
        ValueError, TypeError: as `filter_flow`.
    """
    setup = _setup(normalize, "zeros", threads)
    _check("filters", filters, "[B, k * k, H, W]")
    dtype = torch.float64 if filters.dtype == torch.float64 else torch.float32
    batch, _, height, width = filters.shape
    nothing = torch.empty((batch, 0, height, width), dtype=dtype, device=filters.device)
    _check_filters(nothing, filters)
    _, flow, _, _ = _FilterFlow.apply(nothing, filters.contiguous(), True, setup)
    return flow


class _Setup(NamedTuple):
    """In the order of the ops' schema."""

    softmax: bool
    padding: str
    threads: int


# ---------------------------------------------------------------- checks


def _setup(normalize: str | None, padding: str, threads: int | None) -> _Setup:
    softmax = _choice("normalize", normalize, (None, "softmax")) is not None
    return _Setup(softmax, _choice("padding", padding, _PADDINGS), _threads(threads))


def _check(name: str, x: object, shape: str) -> None:
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    if x.dim() != 4:
        raise ValueError(f"{name}: expected {shape}, got shape {list(x.shape)}")
    check_has_kernel(name, x)
    check_floats(name, x)


def _check_filters(image: torch.Tensor, filters: torch.Tensor) -> int:
    side = side_of(filters.shape[1])
    if side is None:
        raise ValueError(
            f"filters: expected [B, k * k, H, W] with k from 1 to 31, got {filters.shape[1]} taps "
            f"in shape {list(filters.shape)}"
        )
    if filters.shape[2] == 0 or filters.shape[3] == 0:
        raise ValueError(f"filters: expected at least one pixel, got shape {list(filters.shape)}")
    fits = filters.shape[0] == image.shape[0] and filters.shape[2:] == image.shape[2:]
    if not fits:
        raise ValueError(
            f"filters: expected [B, k * k, H, W] for the image of shape {list(image.shape)}, got "
            f"shape {list(filters.shape)}"
        )
    return side


def _inputs(
    image: torch.Tensor, filters: torch.Tensor, setup: _Setup
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both, checked and as the ops want them."""
    _check("image", image, "[B, C, H, W]")
    _check("filters", filters, "[B, k * k, H, W]")
    if filters.device != image.device:
        raise TypeError(
            f"filters: expected a tensor on {image.device} as image, got one on {filters.device}; "
            "pass filters.to(image.device)"
        )
    if image.shape[1] == 0:
        raise ValueError(f"image: expected at least one channel, got shape {list(image.shape)}")
    reach = _check_filters(image, filters) // 2
    if setup.padding == "reflect" and not (reach < image.shape[2] and reach < image.shape[3]):
        raise ValueError(
            f"padding: 'reflect' needs an image larger than the reach of its filters, k // 2 = "
            f"{reach}; got an image of shape {list(image.shape)}"
        )
    double = torch.float64 in (image.dtype, filters.dtype)
    if double:
        filters = filters.to(torch.float64)
    return (
        image.to(torch.float64 if double else torch.float32).contiguous(),
        filters.contiguous(),
    )


def _result_dtype(image: torch.Tensor, computed: torch.Tensor) -> torch.dtype:
    return computed.dtype if torch.is_autocast_enabled(image.device.type) else image.dtype


# ---------------------------------------------------------------- autograd


def _differentiable() -> bool:
    """Is this backward pass itself recorded (create_graph=True), or mapped by vmap?"""
    if torch.compiler.is_compiling():
        return False
    return torch.is_grad_enabled() or torch._C._are_functorch_transforms_active()


def _vmap(apply: Any, info: Any, in_dims: tuple[Any, ...], args: tuple[Any, ...]) -> Any:
    """(image, filters, ...) -> (out, ...) or out. Filters that all items share are read once."""
    image, filters = in_dims[:2]
    if filters is not None:
        return fold.batched(apply, info.batch_size, in_dims, args)
    found = apply(fold.channels(args[0], image), *args[1:])
    out, *rest = (found,) if isinstance(found, torch.Tensor) else found
    out = out.unflatten(1, (info.batch_size, -1))
    return (out, 1) if not rest else ((out, *rest), (1, *[None] * len(rest)))


class _FilterFlow(Function):
    """(image, filters, want_flow, setup) -> (out, flow, peak, scale)."""

    @staticmethod
    def forward(
        image: torch.Tensor, filters: torch.Tensor, want_flow: bool, setup: _Setup
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return forward_op(image, filters, want_flow, *setup)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        image, filters, ctx.want_flow, ctx.setup = inputs
        out, flow, peak, scale = output
        ctx.set_materialize_grads(False)
        if ctx.want_flow:
            ctx.mark_non_differentiable(peak, scale)
        else:
            ctx.mark_non_differentiable(flow, peak, scale)
        # A softmax takes off the mean of its gradients, which is the sum of gradients * outputs.
        kept = (out, flow) if ctx.setup.softmax else (None, None)
        ctx.save_for_backward(image, filters, peak, scale, *kept)

    @staticmethod
    def backward(
        ctx: Any, grad_out: torch.Tensor | None, grad_flow: torch.Tensor | None, *_: Any
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        image, filters, peak, scale, out, flow = ctx.saved_tensors
        needs_image, needs_filters = ctx.needs_input_grad[:2]
        grad_image = grad_filters = None
        if _differentiable():
            return (*_plain_backward(image, filters, grad_out, grad_flow, ctx), None, None)
        if grad_out is not None and needs_image:
            grad_image = transpose_op(grad_out, filters, peak, scale, *ctx.setup)
        if needs_filters and not (grad_out is None and grad_flow is None):
            if grad_out is None:  # only the flow was used: an image without channels
                image = grad_out = out = image[:, :0]
            unused = peak  # an empty tensor where there is no softmax
            grad_filters = filter_gradient_op(
                image,
                filters,
                peak,
                scale,
                unused if out is None else out,
                grad_out,
                unused if flow is None else flow,
                grad_flow,
                *ctx.setup,
            )
        return grad_image, grad_filters, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return _vmap(_FilterFlow.apply, info, in_dims, args)


def _plain_backward(
    image: torch.Tensor,
    filters: torch.Tensor,
    grad_out: torch.Tensor | None,
    grad_flow: torch.Tensor | None,
    ctx: Any,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The gradients by functions that have gradients themselves; keeps the softmax's weights."""
    weights = torch.softmax(filters.to(image.dtype), 1) if ctx.setup.softmax else filters
    setup = ctx.setup._replace(softmax=False)
    if grad_out is None and grad_flow is None:
        return None, None
    if grad_out is None:
        image = grad_out = image[:, :0]
    grad_image = _Transpose.apply(grad_out, weights, setup)
    side = side_of(filters.shape[1])
    grad = _FilterGradient.apply(image, grad_out, grad_flow, side, setup)
    if ctx.setup.softmax:
        grad = weights * (grad - (weights * grad).sum(1, keepdim=True))
    return grad_image if grad_out.shape[1] else None, grad.to(filters.dtype)


class _Transpose(Function):
    """(image, filters, setup) -> out."""

    @staticmethod
    def forward(image: torch.Tensor, filters: torch.Tensor, setup: _Setup) -> torch.Tensor:
        # The weights' peaks and sums; without a softmax, a pass over no channels does nothing.
        peak = scale = image.new_empty(0)
        if setup.softmax:
            _, _, peak, scale = forward_op(image[:, :0], filters, False, *setup)
        return transpose_op(image, filters, peak, scale, *setup)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        image, filters, ctx.setup = inputs
        del output
        ctx.save_for_backward(image, filters)

    @staticmethod
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        image, filters = ctx.saved_tensors
        needs_image, needs_filters = ctx.needs_input_grad[:2]
        if _differentiable():
            return (*_plain_transpose_backward(image, filters, grad, ctx.setup), None)
        # <grad, T^t image> = <T grad, image>: image and gradient change places.
        grad_image = grad_filters = None
        softmax = ctx.setup.softmax
        peak = scale = grad.new_empty(0)
        if needs_image or (softmax and needs_filters):
            grad_image, _, peak, scale = forward_op(grad, filters, False, *ctx.setup)
        if needs_filters:
            out = grad_image if softmax and grad_image is not None else peak
            grad_filters = filter_gradient_op(
                grad, filters, peak, scale, out, image, peak, None, *ctx.setup
            )
        return grad_image if needs_image else None, grad_filters, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return _vmap(_Transpose.apply, info, in_dims, args)


def _plain_transpose_backward(
    image: torch.Tensor, filters: torch.Tensor, grad: torch.Tensor, setup: _Setup
) -> tuple[torch.Tensor, torch.Tensor]:
    weights = torch.softmax(filters.to(image.dtype), 1) if setup.softmax else filters
    plain = setup._replace(softmax=False)
    grad_image, *_ = _FilterFlow.apply(grad, weights, False, plain)
    g = _FilterGradient.apply(grad, image, None, side_of(filters.shape[1]), plain)
    if setup.softmax:
        g = weights * (g - (weights * g).sum(1, keepdim=True))
    return grad_image, g.to(filters.dtype)


class _FilterGradient(Function):
    """(image, grad_out, grad_flow or None, side, setup) -> gradient of filters without a softmax.

    It is linear in the image and in the gradients; only second derivatives go through here.
    """

    @staticmethod
    def forward(
        image: torch.Tensor,
        grad_out: torch.Tensor,
        grad_flow: torch.Tensor | None,
        side: int,
        setup: _Setup,
    ) -> torch.Tensor:
        batch, _, height, width = image.shape
        # Without a softmax, only the filters' shape and dtype are looked at.
        filters = image.new_empty((batch, side * side, height, width))
        no = image.new_empty(0)
        return filter_gradient_op(image, filters, no, no, no, grad_out, no, grad_flow, *setup)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        image, grad_out, grad_flow, _, ctx.setup = inputs
        del output
        ctx.flow = grad_flow is not None
        ctx.save_for_backward(image, grad_out)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        image, grad_out = ctx.saved_tensors
        to_image = _Transpose.apply(grad_out, grad, ctx.setup)
        to_grad_out, to_grad_flow, _, _ = _FilterFlow.apply(image, grad, ctx.flow, ctx.setup)
        return to_image, to_grad_out, to_grad_flow if ctx.flow else None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return fold.batched(_FilterGradient.apply, info.batch_size, in_dims, args)
