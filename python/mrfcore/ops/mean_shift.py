# SPDX-License-Identifier: Apache-2.0
"""Recurrent mean shift that gradients go through (Eq C.5 and its backward, corrected).

Every loop moves all points at once, each to the mean of all weighted by a kernel: Gaussian blurring
mean shift. It is self-attention with query = key = value = x, and is computed as attention is, in
blocks: memory grows with N D, not with N^2.
"""

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

__all__ = ["kappa_from_margin", "mean_shift", "mean_shift_euclid"]

_KERNELS = {"gaussian": "gaussian", "epanechnikov": "flat"}


def mean_shift(
    x: torch.Tensor,
    kappa: float | torch.Tensor,
    steps: int = 5,
    step_size: float = 1.0,
    *,
    threads: int | None = None,
) -> torch.Tensor:
    """Recurrent mean shift on the unit sphere.

    x is normalised first, x_j <- x_j / |x_j|, and then `steps` times (Eq C.5)

        Y_j = (1 - eta) x_j + eta sum_i K_ij x_i / sum_i K_ij,  K_ij = exp(kappa x_i . x_j),
        x_j <- Y_j / |Y_j|.

    Gradients go to x and, if it is a tensor, to kappa; the kernel matrix is computed again in the
    backward pass. For a loss on every loop (section 5.3) call it with steps=1 as often.

    Args:
        x: [B, D, N] or [B, D, H, W]: embeddings of D numbers, on the CPU or a CUDA device, where
            all is then done. float16 and bfloat16 are computed in float32 and returned as they
            came; under autocast they are returned in float32. A zero vector has no direction: zero
            is what it is normalised to. A point whose mean is zero stays where it is. Neither
            normalisation has a gradient.
        kappa: concentration of the kernel, >= 0: a number or a tensor without dimensions, where x
            is or on the CPU. `kappa_from_margin` derives it from the margin of the embedding's
            loss.
        steps: loops, >= 0.
        step_size: eta in (0, 1]; 1 is blurring mean shift proper.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.

    Returns:
        The moved points, of the shape of x, of unit length. On a GPU, work is enqueued on torch's
        current stream and nothing waits (unless a kappa on the CPU has to be copied there); NaN or
        infinite numbers in x, which the CPU refuses, make all results of their item NaN, a tensor
        kappa below 0 or a bandwidth out of range those of all items. The same bits every time, on
        either; between the two only to rounding.

    Raises:
        ValueError: wrong shape or value (NaN, infinite); the message names the argument.
        TypeError: wrong type, dtype or device.
        MemoryError: it does not fit on the GPU.
    """
    return _run(x, _kappa(kappa), "sphere", steps, step_size, threads)


def mean_shift_euclid(
    x: torch.Tensor,
    bandwidth: float | torch.Tensor,
    steps: int = 5,
    step_size: float = 1.0,
    *,
    kernel: str = "gaussian",
    threads: int | None = None,
) -> torch.Tensor:
    """Recurrent mean shift in Euclidean space.

    `mean_shift` without the sphere: nothing is normalised, and K_ij is
    exp(-|x_i - x_j|^2 / (2 b^2)) ("gaussian"), or 1 where |x_i - x_j| <= b and 0 elsewhere
    ("epanechnikov": the mean shift that climbs a density of Epanechnikov kernels, Eq C.3; the
    weights are those that `mrfcore.cluster.MeanShift` calls "flat").

    Args:
        x: [B, D, N] or [B, D, H, W], as for `mean_shift`.
        bandwidth: b in [1e-15, 1e15], in the units of x: a number or a tensor without dimensions.
            It has a gradient with the Gaussian; the flat weights have none, neither to b nor
            through distances.
        steps: loops, >= 0.
        step_size: eta in (0, 1].
        kernel: "gaussian" or "epanechnikov".
        threads: as for `mean_shift`.

    Returns:
        The moved points, of the shape of x.

    Raises:
        ValueError, TypeError: as `mean_shift`.
    """
    _choice("kernel", kernel, tuple(_KERNELS))
    return _run(x, _bandwidth(bandwidth) ** -2, _KERNELS[kernel], steps, step_size, threads)


def kappa_from_margin(alpha: float = 0.5, form: str = "delta2") -> float:
    """Concentration for embeddings trained with margin alpha: 1 / delta = (1 - alpha) / 3.

    "delta2": kappa = delta^2 (Eq C.4), 36 at alpha = 0.5. "delta": kappa = delta as section 5.3
    prints it, 6 at alpha = 0.5, which merges groups of uneven size.
    """
    margin = _checked("alpha", alpha, lambda a: 0 <= a < 1, "a number in [0, 1)")
    delta = 3.0 / (1.0 - margin)
    return delta**2 if _choice("form", form, ("delta2", "delta")) == "delta2" else delta


# ---------------------------------------------------------------- checks


def _kappa(value: float | torch.Tensor) -> float | torch.Tensor:
    if isinstance(value, torch.Tensor):
        _check_scalar("kappa", value)
        return value
    if torch.compiler.is_compiling() and isinstance(value, float):
        return value  # may be symbolic; the kernel checks it
    return _checked("kappa", value, lambda k: 0 <= k < math.inf, "a finite number >= 0")


def _bandwidth(value: float | torch.Tensor) -> float | torch.Tensor:
    """In a type that has the digits for its power."""
    if isinstance(value, torch.Tensor):
        _check_scalar("bandwidth", value)
        value = value if value.dtype == torch.float64 else value.float()
    if torch.compiler.is_compiling() and isinstance(value, (float, torch.Tensor)):
        return value
    number: object = value
    if isinstance(value, torch.Tensor):
        if _device.on_device(value):  # nobody waits to look
            return torch.where((value >= 1e-15) & (value <= 1e15), value, torch.nan)
        if value.device.type != "cpu" or torch._C._are_functorch_transforms_active():
            return value  # not to be waited for, or several numbers
        number = value.item()
    _checked("bandwidth", number, lambda b: 1e-15 <= b <= 1e15, "a number in [1e-15, 1e15]")
    return value


def _check_scalar(name: str, value: torch.Tensor) -> None:
    if value.dim() != 0 or not value.is_floating_point():
        raise ValueError(
            f"{name}: expected a number or a floating-point tensor without dimensions, got "
            f"{value.dtype} of shape {list(value.shape)}"
        )


def _concentration(kappa: float | torch.Tensor, points: torch.Tensor, name: str) -> torch.Tensor:
    """Without dimensions, where the points are."""
    if not isinstance(kappa, torch.Tensor):
        if not torch.compiler.is_compiling() and kappa > torch.finfo(points.dtype).max:
            raise ValueError(f"{name}: expected a number that {points.dtype} holds, got {kappa}")
        return points.new_full((), kappa)
    # As in torch's own operations, a CPU number may meet tensors on any device.
    if kappa.device != points.device and kappa.device.type != "cpu":
        raise TypeError(
            f"{name}: expected a tensor on {points.device} as x, got one on {kappa.device}"
        )
    return kappa.to(points.device, points.dtype)


def _run(
    x: torch.Tensor,
    kappa: float | torch.Tensor,
    kernel: str,
    steps: int,
    step_size: float,
    threads: int | None,
) -> torch.Tensor:
    check_points(x)
    if _integer("steps", steps) < 0:
        raise ValueError(f"steps: expected a number >= 0, got {steps}")
    eta = _checked("step_size", step_size, lambda s: 0 < s <= 1, "a number in (0, 1]")
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    result = dtype if torch.is_autocast_enabled(x.device.type) else x.dtype
    points = x.flatten(2).to(dtype).contiguous()
    concentration = _concentration(kappa, points, "kappa" if kernel == "sphere" else "bandwidth")
    keep = gradient_wanted(points, concentration)
    moved, _ = _MeanShift.apply(
        points, concentration, keep, kernel, int(steps), eta, _threads(threads)
    )
    return moved.reshape(x.shape).to(result)


# ---------------------------------------------------------------- autograd


class _MeanShift(Function):
    """(x [B, D, N], kappa [], keep, kernel, steps, step_size, threads) -> (moved, tape)."""

    @staticmethod
    def forward(  # all by name: the compiler takes *args to begin with a context
        x: torch.Tensor,
        kappa: torch.Tensor,
        keep: bool,
        kernel: str,
        steps: int,
        step_size: float,
        threads: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ops.mrfcore.mean_shift(x, kappa, keep, kernel, steps, step_size, threads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        x, kappa, _, *ctx.setup = inputs
        _, tape = output
        ctx.mark_non_differentiable(tape)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, kappa, tape)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor | None, _: Any) -> tuple[Any, ...]:
        nothing = (None,) * (1 + len(ctx.setup))
        if grad is None:
            return (None, None, *nothing)
        need_x, need_kappa = ctx.needs_input_grad[:2]
        x, kappa, tape = ctx.saved_tensors
        args = (kappa, tape, grad.contiguous(), need_x, *ctx.setup)
        if torch.compiler.is_compiling():  # compiled graphs refuse a second derivative themselves
            grad_x, grad_kappa = torch.ops.mrfcore.mean_shift_backward(*args)
        else:
            grad_x, grad_kappa = _Backward.apply(x, *args)
        return (grad_x if need_x else None, grad_kappa if need_kappa else None, *nothing)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, tuple[int, int]]:
        return fold.loop(info.batch_size, _MeanShift.apply, in_dims, args), (0, 0)


class _Backward(Function):
    """The backward op, so that it has a vmap rule, and an error for double backward.

    It does not need x itself, but its result depends on x: without it a second derivative would be
    taken for zero.
    """

    @staticmethod
    def forward(_: torch.Tensor, *args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ops.mrfcore.mean_shift_backward(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        pass

    @staticmethod
    def backward(_: Any, *grads: Any) -> Any:  # noqa: ARG004
        raise RuntimeError(
            "mean_shift: there are no second derivatives: its gradient, taken with "
            "create_graph=True, was differentiated again"
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, tuple[int, int]]:
        return fold.loop(info.batch_size, _Backward.apply, in_dims, args), (0, 0)


# ---------------------------------------------------------------- ops

_SETUP = "str kernel, int steps, float step_size, int threads"
torch.library.define(
    "mrfcore::mean_shift",
    f"(Tensor x, Tensor kappa, bool keep_tape, {_SETUP}) -> (Tensor moved, Tensor tape)",
)
torch.library.define(
    "mrfcore::mean_shift_backward",
    f"(Tensor kappa, Tensor tape, Tensor grad, bool need_x, {_SETUP}) "
    "-> (Tensor grad_x, Tensor grad_kappa)",
)

_BLOCK, _ROW_BYTES = 64, 64


def _tape_size(x: torch.Tensor, steps: int) -> int:
    """The core's mean_shift_tape_size in operations that torch.compile can trace."""
    batch, dims, points = x.shape
    row = _ROW_BYTES // x.element_size()
    padded = (points + _BLOCK - 1) // _BLOCK * _BLOCK
    stride = (dims + row - 1) // row * row
    return batch * padded * ((steps + 1) * (stride + 1) + steps)


@torch.library.impl("mrfcore::mean_shift", ("cpu", "cuda"))
def _forward(
    x: torch.Tensor,
    kappa: torch.Tensor,
    keep_tape: bool,
    kernel: str,
    steps: int,
    step_size: float,
    threads: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    if _device.on_device(x):
        size = _tape_size(x, steps) if keep_tape else 0
        return on_gpu.mean_shift(x, kappa, size, kernel, steps, step_size)
    points = x.detach().contiguous()  # compiled graphs may hand over other strides than traced
    moved = torch.empty_like(points)
    tape = points.new_empty(_tape_size(points, steps) if keep_tape else 0)
    _core.mean_shift_forward(
        points.numpy(),
        kernel,
        steps,
        float(kappa),
        step_size,
        threads,
        moved.numpy(),
        tape.numpy() if keep_tape else None,
    )
    return moved, tape


@torch.library.register_fake("mrfcore::mean_shift")
def _forward_fake(
    x: torch.Tensor,
    kappa: torch.Tensor,  # noqa: ARG001
    keep_tape: bool,
    kernel: str,  # noqa: ARG001
    steps: int,
    step_size: float,  # noqa: ARG001
    threads: int,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor]:
    return x.new_empty(x.shape), x.new_empty(_tape_size(x, steps) if keep_tape else 0)


@torch.library.impl("mrfcore::mean_shift_backward", ("cpu", "cuda"))
def _backward(
    kappa: torch.Tensor,
    tape: torch.Tensor,
    grad: torch.Tensor,
    need_x: bool,
    kernel: str,
    steps: int,
    step_size: float,
    threads: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    if _device.on_device(grad):
        return on_gpu.mean_shift_backward(kappa, tape, grad, need_x, kernel, steps, step_size)
    grad = grad.detach().contiguous()
    grad_x = grad.new_empty(grad.shape if need_x else 0)
    grad_kappa = _core.mean_shift_backward(
        grad.numpy(),
        kernel,
        steps,
        float(kappa),
        step_size,
        threads,
        tape.detach().contiguous().numpy(),
        grad_x.numpy() if need_x else None,
    )
    return grad_x, grad.new_full((), grad_kappa)


@torch.library.register_fake("mrfcore::mean_shift_backward")
def _backward_fake(
    kappa: torch.Tensor,  # noqa: ARG001
    tape: torch.Tensor,  # noqa: ARG001
    grad: torch.Tensor,
    need_x: bool,
    kernel: str,  # noqa: ARG001
    steps: int,  # noqa: ARG001
    step_size: float,  # noqa: ARG001
    threads: int,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor]:
    return grad.new_empty(grad.shape if need_x else 0), grad.new_empty(())
