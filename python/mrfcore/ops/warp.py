# SPDX-License-Identifier: Apache-2.0
"""Bilinear warps, composed flows and their consistency (Kong 2019, sections 6.2 to 6.4).

As everywhere in this package, autograd lives outside the torch.library ops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from mrfcore._scalars import _checked, _choice, _flag, _integer, _threads
from mrfcore.ops import _folding as fold
from mrfcore.ops._function import Function
from mrfcore.ops._tensors import check_floats, check_has_kernel, check_same_device
from mrfcore.ops._warp_library import forward_op, gradient_op

__all__ = ["compose_flows", "flow_consistency", "warp"]

_PADDINGS = ("zeros", "replicate")


def warp(
    image: torch.Tensor,
    flow: torch.Tensor,
    padding: str = "zeros",
    *,
    return_mask: bool = False,
    threads: int | None = None,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Sample `image` where `flow` points: out[y, x] = image(y + flow_y, x + flow_x), bilinear.

    Integer coordinates are pixel centres. Gradients go to both arguments, the same bits every time;
    where a coordinate is an integer, the flow's is the derivative to the right. There is no second
    derivative. On a GPU the image's gradient is summed in integers of 64 bits, to a unit of 2^-60
    of the largest number of a plane times its pixels (docs/operators/warp.md); planes with a
    gradient or a flow that is not finite come back as NaN.

    Args:
        image: [B, C, H, W] on the CPU or a GPU. It should be finite: a pixel of weight zero is read
            all the same, also for what lies outside, and so passes NaN or infinity on as NaN.
        flow: [B, 2, H', W'] on the same device, in pixels, x first; the result has its size. A flow
            that is not finite samples NaN.
        padding: outside the image "zeros", or the nearest pixel of the border, "replicate".
        return_mask: return also where all four taps lie inside the image.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.
            No effect on a GPU.

    Returns:
        [B, C, H', W'], dtype of `image`; computed in float32, in float64 where either tensor is,
        and returned so under autocast. With `return_mask` also [B, 1, H', W'] of booleans; a tap
        of weight zero counts as inside.

    Raises:
        ValueError: wrong shape or value; the message names the argument.
        TypeError: wrong type, dtype or device.
    """
    setup = _Setup(_choice("padding", padding, _PADDINGS), _threads(threads))
    _flag("return_mask", return_mask)
    _check("image", image)
    _check("flow", flow)
    check_same_device("flow", flow, image, "image")
    if flow.shape[1] != 2 or flow.shape[0] != image.shape[0]:
        raise ValueError(
            f"flow: expected [B, 2, H, W] with B = {image.shape[0]} as in image, got shape "
            f"{list(flow.shape)}"
        )
    dtype = _computed_dtype(image, flow)
    out, mask = _Warp.apply(
        image.to(dtype).contiguous(), flow.to(dtype).contiguous(), return_mask, setup
    )
    out = out.to(_result_dtype(image, out))
    return (out, mask.unsqueeze(1)) if return_mask else out


def compose_flows(
    flows: Sequence[torch.Tensor],
    scales: Sequence[float] | None = None,
    mode: str = "bilinear",
) -> torch.Tensor:
    """The flow of going along `flows` one after the other, the last one first (section 6.4).

    For every pixel p of the first level: q = p; for every level, last to first, q += s F(q / s),
    where pixel centres of a level lie at s (i + 1/2) - 1/2 of the first one. The result is q - p.
    It is differentiable in all flows. Outside a level, the flow of its border goes on.

    Args:
        flows: [B, 2, H_l, W_l] each, in pixels of their level, x first: fine to coarse for the
            levels of a pyramid, or, on one level, the step that is taken last first. All is float64
            where one of them is, else float32: 16 bits do not hold places in an image.
        scales: pixels of the first level that a pixel of each level is wide, such as 1, 2, 4. None:
            1 for all, which must then have one size.
        mode: "bilinear", or "nearest" pixel of a level, which has no gradient for where it is.

    Returns:
        [B, 2, H_0, W_0], dtype of the first flow; under autocast as computed.

    Raises:
        ValueError, TypeError: the message names the argument.
    """
    _choice("mode", mode, ("bilinear", "nearest"))
    factors = _check_levels(flows, scales)
    levels = [flow.to(_computed_dtype(*flows)) for flow in flows]
    first = levels[0]
    grid = _pixels(first.shape[2], first.shape[3], first)
    total = torch.zeros_like(first)
    for flow, scale in zip(reversed(levels), reversed(factors), strict=True):
        # Where the pixel has come to, in pixels of this level; warp adds the pixel itself.
        at = (grid + total + 0.5) / scale - 0.5
        if mode == "nearest":
            at = at.detach().round()
        step = warp(flow, at - grid, "replicate")
        assert isinstance(step, torch.Tensor)
        total = total + scale * step
    return total.to(_result_dtype(flows[0], total))


def flow_consistency(
    forward: torch.Tensor,
    backward: torch.Tensor,
    *,
    epsilon: float = 1e-3,
    border: int = 0,
    reduction: str = "mean",
) -> torch.Tensor:
    """How far going along `forward` and back along `backward` misses the start (Eq 7.7).

    r(p) = f(p) + b(p + f(p)), penalised by sqrt(|r|^2 + epsilon^2) and averaged over pixels once
    (the text's formula does it twice). Outside the image, the flow of its border goes on.

    Args:
        forward: f, [B, 2, H, W] in pixels, x first.
        backward: b, the same shape.
        epsilon: of the Charbonnier penalty, > 0; it is the smallest value there is.
        border: pixels along every side that are left out, 0 or more.
        reduction: "mean", or "none" for [B, H, W] without the border.

    Returns:
        The penalty, dtype of `forward`; computed in float32, in float64 where either flow is, and
        returned so under autocast.

    Raises:
        ValueError, TypeError: the message names the argument.
    """
    _check("forward", forward)
    _check("backward", backward)
    check_same_device("backward", backward, forward, "forward")
    if forward.shape[1] != 2 or forward.shape != backward.shape:
        raise ValueError(
            f"backward: expected [B, 2, H, W] as forward, got shapes {list(forward.shape)} "
            f"(forward) and {list(backward.shape)}"
        )
    _checked("epsilon", epsilon, lambda e: 0 < e < float("inf"), "a finite number > 0")
    _choice("reduction", reduction, ("mean", "none"))
    smallest = min(forward.shape[2:])
    if not 0 <= 2 * _integer("border", border) < smallest:
        raise ValueError(
            f"border: expected 0 or more, less than half of the smallest side {smallest}, got "
            f"{border}"
        )
    dtype = _computed_dtype(forward, backward)
    there = forward.to(dtype)
    back = warp(backward.to(dtype), there, "replicate")
    assert isinstance(back, torch.Tensor)
    residual = there + back
    height, width = residual.shape[2:]
    residual = residual[:, :, border : height - border, border : width - border]
    penalty = (residual.square().sum(1) + epsilon**2).sqrt()
    penalty = penalty.mean() if reduction == "mean" else penalty
    return penalty.to(_result_dtype(forward, penalty))


# ---------------------------------------------------------------- checks


def _check(name: str, x: object) -> None:
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    if x.dim() != 4:
        raise ValueError(f"{name}: expected four dimensions, got shape {list(x.shape)}")
    if x.shape[2] == 0 or x.shape[3] == 0:
        raise ValueError(f"{name}: expected at least one pixel, got shape {list(x.shape)}")
    check_has_kernel(name, x)
    check_floats(name, x)


def _check_levels(flows: object, scales: Sequence[float] | None) -> list[float]:
    """The scales."""
    if not isinstance(flows, (list, tuple)) or not flows:
        got = "an empty one" if isinstance(flows, (list, tuple)) else type(flows).__name__
        raise TypeError(f"flows: expected a list of at least one flow [B, 2, H, W], got {got}")
    for i, flow in enumerate(flows):
        _check(f"flows[{i}]", flow)
        check_same_device(f"flows[{i}]", flow, flows[0], "flows[0]")
        if flow.shape[:2] != (flows[0].shape[0], 2):
            raise ValueError(
                f"flows[{i}]: expected [B, 2, H, W] with B = {flows[0].shape[0]} as in the first, "
                f"got shape {list(flow.shape)}"
            )
        if scales is None and flow.shape != flows[0].shape:
            raise ValueError(
                f"scales: expected one number a flow, since flows[{i}] has shape "
                f"{list(flow.shape)} and the first {list(flows[0].shape)}; got None"
            )
    if scales is None:
        return [1.0] * len(flows)
    if not isinstance(scales, (list, tuple)):
        raise TypeError(f"scales: expected None or a list, got {type(scales).__name__}")
    if len(scales) != len(flows):
        raise ValueError(f"scales: expected {len(flows)} numbers, got {len(scales)}")
    return [
        _checked("scales", s, lambda s: 0 < s < float("inf"), "finite numbers > 0") for s in scales
    ]


def _computed_dtype(*tensors: torch.Tensor) -> torch.dtype:
    return torch.float64 if any(x.dtype == torch.float64 for x in tensors) else torch.float32


def _result_dtype(first: torch.Tensor, computed: torch.Tensor) -> torch.dtype:
    return computed.dtype if torch.is_autocast_enabled(first.device.type) else first.dtype


def _pixels(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """[2, height, width]: x, y of every pixel."""
    x = torch.arange(width, dtype=like.dtype, device=like.device).expand(height, width)
    y = torch.arange(height, dtype=like.dtype, device=like.device)[:, None].expand(height, width)
    return torch.stack([x, y])


# ---------------------------------------------------------------- autograd


class _Setup(NamedTuple):
    """In the order of the ops' schema."""

    padding: str
    threads: int


class _Warp(Function):
    """(image, flow, want_mask, setup) -> (out, mask)."""

    @staticmethod
    def forward(
        image: torch.Tensor, flow: torch.Tensor, want_mask: bool, setup: _Setup
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return forward_op(image, flow, want_mask, *setup)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        image, flow, _, ctx.setup = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(image, flow)

    @staticmethod
    def backward(ctx: Any, grad_out: torch.Tensor | None, _: Any) -> tuple[Any, ...]:
        if grad_out is None:
            return (None,) * 4
        args = (*ctx.saved_tensors, grad_out, *ctx.needs_input_grad[:2])
        if torch.compiler.is_compiling():  # compiled graphs refuse a second derivative themselves
            grads = gradient_op(*args, *ctx.setup)
        else:
            grads = _Gradient.apply(*args, ctx.setup)
        kept = (g if need else None for g, need in zip(grads, args[3:], strict=True))
        return (*kept, None, None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return fold.batched(_Warp.apply, info.batch_size, in_dims, args)


class _Gradient(Function):
    """The gradient's op, so that it has a vmap rule, and an error for double backward."""

    @staticmethod
    def forward(*args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return gradient_op(*args[:-1], *args[-1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        pass

    @staticmethod
    def backward(_: Any, *grads: Any) -> Any:  # noqa: ARG004
        raise RuntimeError(
            "warp: there are no second derivatives: its gradient, taken with create_graph=True, "
            "was differentiated again"
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        return fold.batched(_Gradient.apply, info.batch_size, in_dims, args)
