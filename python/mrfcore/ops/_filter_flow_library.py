# SPDX-License-Identifier: Apache-2.0
"""The three passes of filter flow as torch.library ops, on contiguous tensors.

Image and everything that is computed is float64 beside filters in float64, else float32. What an op
does not make, because nobody asked for it, it returns as an empty tensor. Checks, dtypes and
autograd are in `filter_flow.py`.
"""

from __future__ import annotations

from typing import Any

import torch

from mrfcore import _core, _device

__all__ = ["filter_gradient_op", "forward_op", "side_of", "transpose_op"]

_SETUP = "bool softmax, str padding, int threads"
_STATISTICS = "Tensor peak, Tensor scale"

torch.library.define(
    "mrfcore::filter_flow",
    f"(Tensor image, Tensor filters, bool want_flow, {_SETUP}) -> "
    f"(Tensor out, Tensor flow, {_STATISTICS})",
)
torch.library.define(
    "mrfcore::filter_flow_transpose",
    f"(Tensor image, Tensor filters, {_STATISTICS}, {_SETUP}) -> Tensor",
)
torch.library.define(
    "mrfcore::filter_flow_filter_gradient",
    f"(Tensor image, Tensor filters, {_STATISTICS}, Tensor out, Tensor grad_out, Tensor flow, "
    f"Tensor? grad_flow, {_SETUP}) -> Tensor",
)

forward_op = torch.ops.mrfcore.filter_flow
transpose_op = torch.ops.mrfcore.filter_flow_transpose
filter_gradient_op = torch.ops.mrfcore.filter_flow_filter_gradient

_TYPES = {
    torch.float32: _core.FilterType.float32,
    torch.float64: _core.FilterType.float64,
    torch.bfloat16: _core.FilterType.bfloat16,
    torch.float16: _core.FilterType.float16,
}


def side_of(taps: int) -> int | None:
    """The k with k * k = taps, None where there is none up to 31."""
    for side in range(1, 32):
        if side * side == taps:
            return side
    return None


def _problem(
    image: torch.Tensor, filters: torch.Tensor, softmax: bool, padding: str, threads: int
) -> Any:
    p: Any = _core.FilterFlowProblem()
    p.batch, p.channels, p.height, p.width = image.shape
    p.side = side_of(filters.shape[1])
    p.filters = filters.data_ptr()
    p.type = _TYPES[filters.dtype]
    p.softmax = softmax
    p.padding = getattr(_core.FlowPadding, padding)
    p.threads = threads
    return p


def _run(
    stem: str,
    image: torch.Tensor,
    filters: torch.Tensor,
    setup: tuple[Any, ...],
    *tensors: torch.Tensor | None,
) -> None:
    """The core's function, on a GPU if that is where the image is, with addresses of `tensors`."""
    problem = _problem(image, filters, *setup)
    addresses = [_device.address(x) for x in tensors]
    if not _device.on_device(image):
        _device.function(stem, filters.dtype)(problem, *addresses)
        return
    size = 0
    if stem == "filter_flow_transpose":
        size = _device.function(f"cuda_{stem}_workspace_bytes", filters.dtype)(problem)
    workspace = _device.empty(image, size, torch.uint8, "an image with its margin")
    with _device.current(image):
        _device.function(f"cuda_{stem}", filters.dtype)(
            problem, *addresses, _device.queue(image, workspace)
        )


def _statistics(image: torch.Tensor, softmax: bool) -> torch.Tensor:
    batch, _, height, width = image.shape
    return image.new_empty((batch, height, width) if softmax else (0,))


def _results(
    image: torch.Tensor, want_flow: bool, softmax: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    batch, _, height, width = image.shape
    return (
        image.new_empty(image.shape),
        image.new_empty((batch, 2, height, width) if want_flow else (0,)),
        _statistics(image, softmax),
        _statistics(image, softmax),
    )


@torch.library.impl("mrfcore::filter_flow", ("cpu", "cuda"))
def _forward(
    image: torch.Tensor, filters: torch.Tensor, want_flow: bool, *setup: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    image, filters = image.contiguous(), filters.contiguous()
    results = _results(image, want_flow, setup[0])
    _run("filter_flow", image, filters, setup, image, *results)
    return results


@torch.library.register_fake("mrfcore::filter_flow")
def _forward_fake(
    image: torch.Tensor,
    filters: torch.Tensor,  # noqa: ARG001
    want_flow: bool,
    *setup: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    return _results(image, want_flow, setup[0])


@torch.library.impl("mrfcore::filter_flow_transpose", ("cpu", "cuda"))
def _transpose(
    image: torch.Tensor,
    filters: torch.Tensor,
    peak: torch.Tensor,
    scale: torch.Tensor,
    *setup: Any,
) -> torch.Tensor:
    image, filters = image.contiguous(), filters.contiguous()
    peak, scale = peak.contiguous(), scale.contiguous()
    out = image.new_empty(image.shape)
    _run("filter_flow_transpose", image, filters, setup, image, peak, scale, out)
    return out


@torch.library.register_fake("mrfcore::filter_flow_transpose")
def _transpose_fake(image: torch.Tensor, *_: Any) -> torch.Tensor:
    return image.new_empty(image.shape)


@torch.library.impl("mrfcore::filter_flow_filter_gradient", ("cpu", "cuda"))
def _filter_gradient(
    image: torch.Tensor,
    filters: torch.Tensor,
    peak: torch.Tensor,
    scale: torch.Tensor,
    out: torch.Tensor,
    grad_out: torch.Tensor,
    flow: torch.Tensor,
    grad_flow: torch.Tensor | None,
    *setup: Any,
) -> torch.Tensor:
    image, filters = image.contiguous(), filters.contiguous()
    read = [x.contiguous() for x in (peak, scale, out, grad_out, flow)]
    grad_flow = None if grad_flow is None else grad_flow.contiguous()
    grads = filters.new_empty(filters.shape)
    stem = "filter_flow_filter_gradient"
    _run(stem, image, filters, setup, image, *read, grad_flow, grads)
    return grads


@torch.library.register_fake("mrfcore::filter_flow_filter_gradient")
def _filter_gradient_fake(
    image: torch.Tensor,  # noqa: ARG001
    filters: torch.Tensor,
    *_: Any,
) -> torch.Tensor:
    return filters.new_empty(filters.shape)
