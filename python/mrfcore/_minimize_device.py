# SPDX-License-Identifier: Apache-2.0
"""minimize() and energy() of arrays on a GPU. Torch gives the memory and the stream."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._arrays import on_device, to_numpy
from mrfcore._reports import core_callback, make_result
from mrfcore._result import Progress, Result
from mrfcore._torch import require_torch
from mrfcore.potentials import as_potential

require_torch("minimize() of arrays on a GPU")

import torch  # noqa: E402

from mrfcore import _device, _minimize  # noqa: E402

__all__ = ["energy", "minimize"]


@dataclass
class _Problem:
    """Tensors, kept alive, and the core's view of them."""

    unary: torch.Tensor  # [B, H, W, L], contiguous
    batched: bool
    edges: torch.Tensor | None
    core: Any


def minimize(
    unary: Any,
    pairwise: Any,
    weights: Any,
    connectivity: int,
    options: Any,
    init: Any,
    callback: Callable[[Progress], object] | None,
    bounded: bool,
) -> Result:
    """`mrfcore.minimize` with its options checked already."""
    problem = _problem(unary, pairwise, weights, connectivity)
    nodes = problem.unary
    start = None if init is None else _labels("init", init, problem)
    labels = _device.empty(nodes, nodes.shape[:3], torch.int32, "labels")
    costs = _device.empty(nodes, nodes.shape, nodes.dtype, "costs", _device.FEWER_LABELS)
    # A callback looks at items one by one.
    workspace = _workspace(problem, options, nodes.shape[0] if callback is None else 1)
    with _device.current(nodes):
        reports = _device.function("cuda_minimize", nodes.dtype)(
            problem.core,
            options,
            _device.address(start),
            core_callback(callback, bounded),
            labels.data_ptr(),
            costs.data_ptr(),
            _device.queue(nodes, workspace),
        )
    if not problem.batched:
        labels, costs = labels[0], costs[0]
    convert = _device.like(unary)
    return make_result(
        reports, problem.batched, bounded, options.trace, convert(labels), convert(costs)
    )


def energy(
    labels: Any, unary: Any, pairwise: Any, weights: Any, connectivity: int
) -> float | npt.NDArray[np.float64]:
    """`mrfcore.energy`."""
    problem = _problem(unary, pairwise, weights, connectivity)
    given = _labels("labels", labels, problem)
    options = _core.Options()
    options.solver = _core.Solver.icm
    workspace = _workspace(problem, options, problem.unary.shape[0])
    with _device.current(problem.unary):
        energies = _device.function("cuda_energy", problem.unary.dtype)(
            problem.core, given.data_ptr(), _device.queue(problem.unary, workspace)
        )
    return np.array(energies) if problem.batched else float(energies[0])


def _problem(unary: Any, pairwise: Any, weights: Any, connectivity: int) -> _Problem:
    _device.require_back_end("unary")
    tensor = _tensor("unary", unary)
    _minimize.check_sizes(tensor.shape, connectivity)
    batched = tensor.dim() == 4
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    nodes = (tensor if batched else tensor.unsqueeze(0)).to(dtype).contiguous()
    if on_device(pairwise):
        table = _tensor("pairwise", pairwise)
        _same_device("pairwise", table, nodes)
        pairwise = table.double().cpu().numpy()
    weight, edges = _weights(weights, nodes, batched, connectivity)
    core = _device.problem(
        nodes, as_potential(pairwise)._to_core(), None, weight, edges, int(connectivity)
    )
    return _Problem(nodes, batched, edges, core)


def _tensor(name: str, x: Any) -> torch.Tensor:
    """A tensor on the GPU; shares memory."""
    if getattr(x, "requires_grad", False):
        raise TypeError(
            f"{name}: requires a gradient, which minimize() does not give; pass {name}.detach()"
        )
    if not on_device(x):
        raise TypeError(
            f"{name}: expected an array on the GPU that unary is on, got {_describe(x)}; copy it "
            "there first"
        )
    tensor = _device.as_tensor(name, x)
    if tensor.layout != torch.strided:
        raise TypeError(
            f"{name}: expected a dense array, got layout {tensor.layout}; use to_dense()"
        )
    if tensor.is_complex():
        raise TypeError(f"{name}: expected real numbers, got dtype {tensor.dtype}")
    return tensor


def _describe(x: Any) -> str:
    device = getattr(x, "device", None)
    return f"a {type(x).__name__}" + (f" on {device}" if device is not None else "")


def _same_device(name: str, x: torch.Tensor, unary: torch.Tensor) -> None:
    if x.device != unary.device:
        raise TypeError(
            f"{name}: expected an array on {unary.device} as unary, got one on {x.device}"
        )


def _weights(
    weights: Any, unary: torch.Tensor, batched: bool, connectivity: int
) -> tuple[float, torch.Tensor | None]:
    if isinstance(weights, numbers.Real) and not isinstance(weights, bool):
        return _minimize.check_weight(weights), None
    if getattr(weights, "ndim", None) == 0 and not on_device(weights):  # as torch does
        return _weights(to_numpy("weights", weights).item(), unary, batched, connectivity)
    tensor = _tensor("weights", weights)
    if tensor.dim() == 0:
        return _weights(tensor.item(), unary, batched, connectivity)
    _same_device("weights", tensor, unary)
    _minimize.check_weights_shape(tensor.shape, unary.shape, batched, connectivity)
    shaped = tensor.unsqueeze(0) if tensor.dim() == 3 else tensor
    return 1.0, shaped.to(unary.dtype).contiguous()


def _labels(name: str, labels: Any, problem: _Problem) -> torch.Tensor:
    tensor = _tensor(name, labels)
    _same_device(name, tensor, problem.unary)
    if tensor.dtype.is_floating_point or tensor.dtype == torch.bool:
        raise TypeError(f"{name}: expected integers, got dtype {tensor.dtype}")
    expected = problem.unary.shape[:3] if problem.batched else problem.unary.shape[1:3]
    if tensor.shape != expected:
        raise ValueError(
            f"{name}: expected shape {list(expected)} as in unary, got {list(tensor.shape)}"
        )
    low, high = torch.stack(tensor.long().aminmax()).tolist()
    count = problem.unary.shape[3]
    if low < 0 or high >= count:
        raise ValueError(f"{name}: expected labels 0..{count - 1}, got {low}..{high}")
    return tensor.to(torch.int32).contiguous().reshape(problem.unary.shape[:3])


def _workspace(problem: _Problem, options: Any, items: int) -> torch.Tensor:
    count = _device.function("cuda_workspace_bytes", problem.unary.dtype)
    return _device.workspace(problem.unary, lambda some: count(problem.core, options, some), items)
